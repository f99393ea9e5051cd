// What the audit log needs of a store of immutable objects, whoever runs it: names that are taken once and for ever. s3.ts
// is the one for AWS; the log over it (object-log.ts) knows nothing of S3.

/** Every failure is an `audit-unavailable` that names the place and the permission, never a vendor's message. */
export interface ObjectStore {
  /** For messages: `s3://bucket/prefix`. */
  readonly place: string;
  /**
   * Puts an object under a name that MUST NOT exist; `taken`, and nothing changes, when it does. After a lost answer a repetition
   * says `taken` although the first try did it: read before believing it. Durable when it resolves.
   */
  put(name: string, bytes: Uint8Array): Promise<'written' | 'taken'>;
  /** The object's bytes; `null` when there is none. MUST see every put that has resolved, whoever made it. */
  get(name: string): Promise<Buffer | null>;
  /** Names that begin with `prefix`, in byte order; at most `limit` where that is given. */
  list(prefix: string, limit?: number): Promise<readonly string[]>;
  close(): void;
}
