// Audit logs for tests: real files, a clock that the test sets, and events as the rotation makes
// them.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  generateSigningKey,
  openSigningKey,
  parseVerifierKey,
  type Signer,
  type Verifier,
} from '../../src/audit/checkpoint.ts';
import { openFileSegments } from '../../src/audit/file-segments.ts';
import { type AuditLogOptions, type AuditWriter, openAuditLog } from '../../src/audit/log.ts';
import type { AuditSource } from '../../src/audit/reader.ts';
import type { AuditContext } from '../../src/audit/record.ts';
import { openProcessIdentity } from '../../src/process-identity.ts';
import type { AuditEvent } from '../../src/rotation/event.ts';
import type { Clock } from '../../src/rotation/ports.ts';

export const origin = 'example.com/fleet/audit';
export const dayMs = 86_400_000;
/** 2026-03-01T00:00:00Z */
export const march = Date.UTC(2026, 2, 1);

const diskLimitMs = 30_000;

export type TestClock = Clock & {
  atMs: number;
  /** Ends the time limits of what the disk has not answered. */
  expire(): void;
};

/**
 * Does not move until it is set. A sleep ends at once, after other work has run; a time limit for
 * the disk ends with `expire`.
 */
export function testClock(atMs: number = march): TestClock {
  let slept = 0;
  const limits = new Set<() => void>();
  const clock: TestClock = {
    atMs,
    nowMs: () => clock.atMs,
    monotonicMs: () => slept,
    busyMs: () => 0,
    remainingMs: () => Number.POSITIVE_INFINITY,
    expire: () => {
      for (const end of limits) end();
    },
    sleep: (ms, wake) => {
      if (ms >= diskLimitMs)
        return new Promise((resolve) => {
          limits.add(resolve);
          wake?.addEventListener('abort', () => limits.delete(resolve));
        });
      slept += ms;
      return new Promise((resolve) => setImmediate(resolve));
    },
  };
  return clock;
}

export const context: AuditContext = {
  actor: { name: 'rotator' },
  productVersion: '0.1.0',
  sourceEndpoint: { hostname: 'ops-1' },
  policy: { maxAgeDays: 90, warnAgeDays: 75 },
};

/** One for all logs of this process, as process-identity.ts requires. */
export const processes = openProcessIdentity(process.pid);

const folders: string[] = [];

export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  folders.push(folder);
  return folder;
}

export function removeTempFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export type TestLog = AuditWriter & {
  readonly directory: string;
  readonly clock: TestClock;
  readonly signer: Signer;
  readonly signingKey: string;
  readonly verifier: Verifier;
  readonly strays: string[];
};

export async function openTestLog(
  given: Partial<Pick<AuditLogOptions, 'witnesses' | 'onCosigning' | 'origin' | 'predecessor'>> & {
    directory?: string;
    clock?: TestClock;
    signingKey?: string;
  } = {},
): Promise<TestLog> {
  const directory = given.directory ?? join(tempFolder(), 'audit');
  const clock = given.clock ?? testClock();
  const signingKey = given.signingKey ?? generateSigningKey(origin).signingKey;
  const signer = openSigningKey(signingKey);
  const strays: string[] = [];
  const log = await openAuditLog({
    segments: await openFileSegments({ directory, processes, clock }),
    signer,
    clock,
    origin: given.origin ?? origin,
    context,
    fallback: (line) => strays.push(line),
    witnesses: given.witnesses,
    onCosigning: given.onCosigning,
    predecessor: given.predecessor,
  });
  return {
    ...log,
    directory,
    clock,
    signer,
    signingKey,
    verifier: parseVerifierKey(signer.verifierKey),
    strays,
  };
}

const base = {
  secretId: 'thingspace/a',
  username: 'uws-a',
  trigger: { kind: 'schedule' },
} as const;

export const intended = (
  rotationId: string,
  account = 'fleet-a',
  more: Partial<AuditEvent> = {},
): AuditEvent => ({
  ...base,
  code: 'rotation.intended',
  status: 'started',
  account,
  rotationId,
  ageDaysBefore: 75,
  versionBefore: 'v1',
  ...more,
});

export const outcome = (
  rotationId: string,
  account = 'fleet-a',
  more: Partial<AuditEvent> = {},
): AuditEvent => ({
  ...base,
  code: 'rotation.outcome',
  status: 'success',
  certainty: 'rotated',
  account,
  rotationId,
  versionBefore: 'v1',
  versionAfter: rotationId,
  verifiedBy: 'login',
  deadWindowMs: 840,
  ageDaysBefore: 75,
  ...more,
});

/**
 * A log of complete rotations, one a day, with a checkpoint after every `every`-th and after the
 * last.
 */
export async function filledLog(rotations: number, every = 3): Promise<TestLog> {
  const log = await openTestLog();
  for (let index = 0; index < rotations; index += 1) {
    log.clock.atMs += dayMs;
    await log.append([intended(`r-${index}`)]);
    await log.append([outcome(`r-${index}`)]);
    if ((index + 1) % every === 0 || index === rotations - 1) await log.checkpoint();
  }
  return log;
}

/** Every stored line, over all month files. */
export function linesIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .flatMap((name) => readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1));
}

/** A log in memory, for readers. */
export function memorySource(
  lines: readonly string[],
  checkpoints: readonly string[] = [],
): AuditSource {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const read = (into: Buffer, at: number, position: number): number =>
    bytes.copy(into, at, position);
  return {
    segments: async () => [{ name: 'memory', open: () => ({ read, close: () => undefined }) }],
    frontier: async () => null,
    checkpoints: async () =>
      checkpoints.map((text, index) => ({ name: String(index), read: async () => text })),
  };
}
