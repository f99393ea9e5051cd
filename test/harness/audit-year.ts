// A year of rotations as the program would record them, in memory and from a seed: successful ones,
// failures, a suspension, a lost response, an unfinished rotation, a change by hand. A checkpoint a
// day signs them.

import {
  generateSigningKey,
  openSigningKey,
  parseVerifierKey,
  signCheckpoint,
  type Verifier,
} from '../../src/audit/checkpoint.ts';
import { leafHash, Tree } from '../../src/audit/merkle.ts';
import type { AuditSource } from '../../src/audit/reader.ts';
import { formatRecord, uuidv7 } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import type { StoreFact } from '../../src/report/account.ts';
import type { ReportOptions } from '../../src/report/build.ts';
import { context, dayMs, intended, memorySource, origin, outcome } from './audit.ts';

export type Year = {
  readonly source: AuditSource;
  readonly verifiers: readonly Verifier[];
  readonly lines: readonly string[];
  readonly store: ReadonlyMap<string, StoreFact>;
  readonly accounts: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
};

/** Mulberry32: the same numbers for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

type Timed = { readonly atMs: number; readonly event: LoggedEvent };

const failed = (reason: 'store-unavailable' | 'login-unavailable' | 'reset-throttled') =>
  ({
    status: 'failure',
    certainty: 'unchanged',
    reason,
    detail: 'the other side did not answer in time',
  }) as const;

/** One account's year; every so often something goes wrong. */
function lifeOf(
  account: string,
  fromMs: number,
  toMs: number,
  random: () => number,
  troubles: boolean,
): { events: Timed[]; sinceMs: number } {
  const events: Timed[] = [
    {
      atMs: fromMs,
      event: {
        code: 'inventory.changed',
        change: 'added',
        account,
        secretId: `thingspace/${account}`,
      },
    },
  ];
  const secretId = `thingspace/${account}`;
  let sinceMs = fromMs - Math.floor(random() * 70) * dayMs;
  let atMs = sinceMs + 75 * dayMs;
  for (let round = 0; atMs < toMs - dayMs; round += 1) {
    const at = Math.floor(atMs / dayMs) * dayMs + 11_820_000 + Math.floor(random() * 1_800_000);
    const id = `${Math.floor(random() * 2 ** 32).toString(16)}-${round}`;
    const common = {
      secretId,
      username: account.slice(0, 24).toUpperCase(),
      ageDaysBefore: Math.floor((at - sinceMs) / dayMs),
    };
    const add = (delayMs: number, event: LoggedEvent): void => {
      events.push({ atMs: at + delayMs, event });
    };
    add(0, intended(id, account, common));
    const luck = troubles ? random() : 1;
    if (luck < 0.06) {
      add(
        900,
        outcome(id, account, {
          ...common,
          ...failed(luck < 0.03 ? 'store-unavailable' : 'reset-throttled'),
        }),
      );
      atMs += dayMs * (1 + Math.floor(random() * 3));
      continue;
    }
    if (luck < 0.075) {
      add(
        900,
        outcome(id, account, {
          ...common,
          status: 'unknown',
          certainty: 'in-doubt',
          reason: 'answer-lost',
          detail: 'connection reset after the request was sent',
        }),
      );
      add(
        dayMs,
        outcome(id, account, { ...common, code: 'rotation.reconciled', certainty: 'rotated' }),
      );
    } else if (luck < 0.085) {
      const refused = {
        ...common,
        status: 'failure',
        certainty: 'stopped',
        reason: 'login-refused',
        detail: 'ThingSpace refused the current password',
      } as const;
      add(900, outcome(id, account, refused));
      add(901, { ...outcome(id, account, refused), code: 'account.stopped' });
      add(20 * dayMs, {
        ...outcome(id, account, { ...common, trigger: { kind: 'manual', requestedBy: 'mia' } }),
        code: 'secret.changed',
      });
      sinceMs = at + 20 * dayMs;
      atMs = sinceMs + 75 * dayMs;
      continue;
    } else {
      const facts = { ...common, versionAfter: id };
      add(800, { ...outcome(id, account, facts), code: 'secret.promoted' });
      add(1600, { ...outcome(id, account, facts), code: 'credential.verified' });
      add(1600, outcome(id, account, facts));
    }
    sinceMs = at + 800;
    atMs = sinceMs + 75 * dayMs;
  }
  return { events, sinceMs };
}

export async function yearOf(
  names: readonly string[],
  given: { troubles?: boolean; seed?: number; days?: number } = {},
): Promise<Year> {
  const fromMs = Date.UTC(2025, 10, 1);
  const toMs = fromMs + (given.days ?? 365) * dayMs;
  const random = randomOf(given.seed ?? 1);
  const troubles = given.troubles ?? true;
  const events: Timed[] = [{ atMs: fromMs - 1, event: { code: 'log.genesis', verifierKey: '' } }];
  const store = new Map<string, StoreFact>();
  names.forEach((account, index) => {
    const life = lifeOf(account, fromMs, toMs, random, troubles);
    events.push(...life.events);
    const isLost = troubles && names.length > 50 && index === 7;
    const isOutside = troubles && names.length > 50 && index === 11;
    if (isLost)
      events.push({
        atMs: toMs - 3 * dayMs,
        event: intended(`${account}-open`, account, { secretId: `thingspace/${account}` }),
      });
    store.set(account, {
      passwordSinceMs: isOutside ? toMs - 5 * dayMs : life.sinceMs,
      state: 'settled',
    });
  });
  for (let day = 1; day < (toMs - fromMs) / dayMs; day += 1)
    events.push({ atMs: fromMs + day * dayMs, event: { code: 'log.heartbeat' } });
  events.push({ atMs: toMs - 1, event: { code: 'inventory.summary', accounts: names } });
  if (troubles) {
    const stop = events.find(({ event }) => event.code === 'account.stopped');
    if (stop && 'rotationId' in stop.event)
      events.push({
        atMs: stop.atMs + dayMs,
        event: { code: 'exception.acknowledged', exceptionId: 'failures:none', note: 'seen' },
      });
  }
  events.sort((a, b) => a.atMs - b.atMs);
  const within = events.filter(({ atMs }) => atMs < toMs);
  return { ...(await signed(within)), store, accounts: names, fromMs, toMs };
}

async function signed(events: readonly Timed[]) {
  const { signingKey, verifierKey } = generateSigningKey(origin);
  const signer = openSigningKey(signingKey);
  const tree = new Tree();
  const [lines, checkpoints]: [string[], string[]] = [[], []];
  let sealedSize = 0;
  for (const [index, { atMs, event }] of events.entries()) {
    const stamp = { uid: uuidv7(atMs), sequence: index, timeMs: atMs, origin, batchRemaining: 0 };
    const line = formatRecord(event, sealedSize > 0 ? { ...stamp, sealedSize } : stamp, context);
    sealedSize = 0;
    tree.append(leafHash(Buffer.from(line)));
    lines.push(line);
    if (event.code === 'log.heartbeat' || index === events.length - 1) {
      checkpoints.push(await signCheckpoint(origin, tree.size, tree.root(), [signer]));
      sealedSize = tree.size;
    }
  }
  return {
    lines,
    source: memorySource(lines, checkpoints),
    verifiers: [parseVerifierKey(verifierKey)],
  };
}

/** What `audit report` would ask for over that year. */
export const reportOptions = (year: Year, more: Partial<ReportOptions> = {}): ReportOptions => ({
  source: year.source,
  verifiers: year.verifiers,
  fromMs: year.fromMs,
  toMs: year.toMs,
  nowMs: year.toMs + 3_600_000,
  origin,
  accounts: year.accounts,
  store: year.store,
  policy: { maxAgeDays: 90, rotateAfterDays: 75 },
  ...more,
});

export const fleetOf = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `fleet-${String(index + 1).padStart(3, '0')}`);

/** Names that people should not choose, and that must do no harm. */
export const hostileNames: readonly string[] = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  '=HYPERLINK("http://evil","click")',
  '\u001b[2J\u202egnp.exe',
  'a'.repeat(256),
  'Flöte № 7 – 東京 🚚',
  'tab\there\nand a line',
  "' OR 1=1 --",
  '&lt;already&gt;',
];
