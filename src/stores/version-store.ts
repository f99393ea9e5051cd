// What every secret store keeps: immutable versions, and labels (stages) that move between them. It
// has no rule about rotation; secret-store.ts builds the port of the loop on
// this contract, and test/harness/store-contract.ts runs every MUST against each implementation.

import type { Secret } from '../secret.ts';

/** One version as it was read, with the store's own time of the answer. */
export type StoredVersion = {
  readonly versionId: string;
  /** The labels of this version when it was read, in any order. */
  readonly stages: readonly string[];
  /** When the store made this version; UTC milliseconds on the *store's* clock. */
  readonly createdAtMs: number;
  /**
   * The store's clock when it answered; UTC milliseconds, one second coarse where the answer is
   * HTTP.
   */
  readonly storeNowMs: number;
  /** The complete text; `binary` where the version holds bytes that are no text. */
  readonly value: Secret | 'binary';
  /**
   * Names this secret, and no other one ever: an ARN, or what the store has instead. A secret that
   * is recreated under the same name has another identity.
   */
  readonly identity: string;
};

/** One version without its value. */
export type ListedVersion = {
  readonly versionId: string;
  readonly stages: readonly string[];
  readonly createdAtMs: number;
};

/**
 * One secret's versions. Each call is one round trip (`list`: one per hundred versions). Every
 * failure is a `Failure`.
 */
export interface VersionStore {
  /**
   * How many versions younger than 24 hours the store keeps before it refuses new ones; null where
   * there is no limit.
   */
  readonly youngVersionLimit: number | null;
  /**
   * The version under a label, or with an id. `null` when there is no such label, version or
   * secret, and when the version has no value yet. MUST name the label or the id to the store,
   * never read unqualified: an emulator answers an unqualified read with the old value after
   * AWSCURRENT moved. Throws `store-unavailable`, `store-denied`, `secret-invalid` (the secret is
   * scheduled for deletion).
   */
  read(
    which: { readonly stage: string } | { readonly versionId: string },
  ): Promise<StoredVersion | null>;
  /**
   * Makes a version whose id is `token` (32 to 64 letters, digits, hyphens), and moves `stages` to
   * it, from any other version. When AWSCURRENT leaves a version, AWSPREVIOUS MUST come to it and
   * AWSPENDING MUST leave it. MUST be won by one writer only: `taken`, and nothing changes, when
   * the token holds another value. The same value again is `written`, without moving any label.
   * Versions never change. Durable when it resolves. Throws as `read`, and `secret-not-found`.
   */
  put(version: {
    readonly token: string;
    readonly value: Secret;
    readonly stages: readonly string[];
  }): Promise<'written' | 'taken'>;
  /**
   * Moves a label from the version `from` (`null`: from nowhere) to `to`. MUST change nothing and
   * say `conflict` when the label is not where `from` says, or `to` does not exist. AWSPREVIOUS
   * follows AWSCURRENT as for `put`. After a lost answer a repetition says `conflict` although the
   * first try did it: read again before believing it. Durable when it resolves.
   */
  move(stage: string, from: string | null, to: string): Promise<'moved' | 'conflict'>;
  /** All versions the store still has, those without a label too; in any order. Throws as `put`. */
  list(): Promise<readonly ListedVersion[]>;
}
