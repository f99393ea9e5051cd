// Whether a login verified the newest password, as an auditor reads it in CSV and JSON.

import { formatRecord, uuidv7 } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import { buildReport } from '../../src/report/build.ts';
import { reportCsv, reportJson } from '../../src/report/export.ts';
import {
  context,
  dayMs,
  intended,
  march,
  memorySource,
  origin,
  outcome,
} from '../harness/audit.ts';

async function verifiedIn(events: readonly LoggedEvent[]) {
  const lines = events.map((event, sequence) => {
    const timeMs = march + dayMs + sequence;
    const stamp = { uid: uuidv7(timeMs), sequence, timeMs, origin, batchRemaining: 0 };
    return formatRecord(event, stamp, context);
  });
  const { report } = await buildReport({
    source: memorySource(lines),
    verifiers: [],
    fromMs: march,
    toMs: march + 9 * dayMs,
    nowMs: march + 9 * dayMs,
    origin,
    accounts: null,
    store: null,
    policy: { maxAgeDays: 90, rotateAfterDays: 75 },
  });
  const [head = '', row = ''] = reportCsv(report).split(/\r?\n/);
  const column = head.split(',').findIndex((name) => name.includes('verified_by_login'));
  return [row.split(',')[column], /"verified_by_login":\s*true/.test(reportJson(report))];
}

test('a password is verified only when a login with it was accepted', async () => {
  const unverified = { verifiedBy: undefined };
  const login = { ...outcome('r'), code: 'credential.verified' } as LoggedEvent;

  expect(await verifiedIn([intended('r'), outcome('r')])).toEqual(['yes', true]);
  expect(await verifiedIn([intended('r'), login, outcome('r', 'fleet-a', unverified)])).toEqual([
    'yes',
    true,
  ]);
  expect(await verifiedIn([intended('r'), outcome('r', 'fleet-a', unverified)])).toEqual([
    'no',
    false,
  ]);
});
