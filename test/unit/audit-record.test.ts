import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import * as z from 'zod';
import { eventCodes } from '../../src/audit/meanings.ts';
import {
  formatRecord,
  inventoryHash,
  maxLineBytes,
  uuidv7,
  viewLine,
} from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import { march, outcome } from '../harness/audit.ts';
import { cloudContext, samples, stamp } from '../harness/audit-samples.ts';

const parsed = (event: LoggedEvent): Record<string, unknown> =>
  JSON.parse(formatRecord(event, stamp, cloudContext));

/** RFC 8785 for what records hold. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = value as Record<string, unknown>;
  return `{${Object.keys(fields)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(fields[key])}`)
    .join(',')}}`;
};

test('every event has a record, and its bytes are its RFC 8785 form', () => {
  expect(new Set(samples.map(({ code }) => code))).toEqual(new Set(eventCodes));
  for (const event of samples)
    expect(formatRecord(event, stamp, cloudContext)).toBe(canonical(parsed(event)));
});

test('a record is stored byte for byte as version 0.1 stored it', () => {
  const event = outcome('r-1', 'a', { trigger: { kind: 'manual', requestedBy: 'mia' } });

  expect(
    formatRecord(event, { ...stamp, batchRemaining: 1, sealedSize: 5 }, { ...cloudContext }),
  ).toBe(
    [
      '{"activity_id":3,"activity_name":"Password Change","actor":{"app_name":"thingspace-rotat',
      'or","user":{"name":"rotator"}},"category_uid":3,"class_uid":3001,"cloud":{"account":{"ui',
      'd":"123456789012"},"provider":"AWS","region":"us-east-1"},"message":"rotation.outcome: a',
      '","metadata":{"correlation_uid":"r-1","event_code":"rotation.outcome","log_name":"exampl',
      'e.com/fleet/audit","logged_time":1772323200000,"product":{"name":"thingspace-rotator","v',
      'endor_name":"thingspace-rotator","version":"0.1.0"},"profiles":["cloud"],"sequence":7,"u',
      'id":"018f0000-0000-7000-8000-000000000000","version":"1.5.0"},"severity_id":1,"src_endpo',
      'int":{"hostname":"ops-1"},"status":"Success","status_id":1,"time":1772323200000,"type_ui',
      'd":300103,"unmapped":{"age_days_before":75,"batch_remaining":1,"certainty":"rotated","de',
      'ad_window_ms":840,"policy_max_age_days":90,"requested_by":"mia","sealed_size":5,"secret_',
      'id":"thingspace/a","trigger":"manual","verified_by":"login","version_after":"r-1","versi',
      'on_before":"v1"},"user":{"account":{"name":"a"},"name":"uws-a"}}',
    ].join(''),
  );
});

test('every record is valid by the published JSON Schema, and a changed one is not', () => {
  const published = JSON.parse(readFileSync('docs/audit-record.schema.json', 'utf8'));
  const schema = z.fromJSONSchema(published);

  for (const event of samples)
    expect(schema.safeParse(parsed(event))).toMatchObject({ success: true });
  const [record] = samples.map(parsed) as Record<string, unknown>[];
  expect(schema.safeParse({ ...record, time: 'now' }).success).toBe(false);
  expect(schema.safeParse({ ...record, metadata: {} }).success).toBe(false);
  expect(Object.keys(published.properties).sort()).toEqual([...allowed].sort());
});

// The published schema (ocsf/ocsf-schema 1.5.0: events/iam/account_change.json,
// includes/classification.json, includes/occurrence.json, objects/metadata.json, product.json,
// user.json, actor.json, cloud.json): what is "requirement": "required", and the constraints.
test('every record has what OCSF 1.5.0 requires of class 3001', () => {
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  for (const event of samples) {
    const record = parsed(event) as Record<string, Record<string, unknown>> &
      Record<string, unknown>;
    const { metadata, user, actor, cloud } = record;
    expect(record).toMatchObject({ category_uid: 3, class_uid: 3001, time: march });
    expect([3, 99]).toContain(record['activity_id']);
    expect(record['type_uid']).toBe(3001 * 100 + (record['activity_id'] as unknown as number));
    expect([1, 2, 3, 4, 5]).toContain(record['severity_id']);
    expect([0, 1, 2, 99]).toContain(record['status_id']);
    expect(metadata).toMatchObject({
      version: '1.5.0',
      product: { name: 'thingspace-rotator' },
      profiles: ['cloud'],
      logged_time: march,
    });
    expect(
      isText(user?.['name']) || isText((user?.['account'] as { name?: string } | undefined)?.name),
    ).toBe(true);
    expect(actor).toMatchObject({ app_name: 'thingspace-rotator', user: { name: 'rotator' } });
    expect(cloud).toMatchObject({ provider: 'AWS' });
    expect(Object.keys(record).filter((key) => !allowed.has(key))).toEqual([]);
  }
});

const allowed = new Set([
  ...['activity_id', 'activity_name', 'actor', 'category_uid', 'class_uid', 'cloud', 'message'],
  ...['metadata', 'severity_id', 'src_endpoint', 'status', 'status_code', 'status_detail'],
  ...['status_id', 'time', 'type_uid', 'unmapped', 'user'],
]);

test('a field that is not in the schema is not written', () => {
  const event = {
    ...outcome('r-1'),
    password: 'Hunter2!',
    apiToken: 'tok',
    trigger: { kind: 'manual', header: 'VZ-M2M-Token' },
  };
  expect(formatRecord(event as unknown as LoggedEvent, stamp, cloudContext)).not.toMatch(
    /Hunter2|tok"|VZ-M2M/,
  );
});

test('severity follows status, reason and age', () => {
  const severity = (event: LoggedEvent): unknown => parsed(event)['severity_id'];
  const failed = {
    status: 'failure',
    certainty: 'unchanged',
    reason: 'store-unavailable',
  } as const;
  expect(severity(outcome('r', 'a', { ageDaysBefore: 95 }))).toBe(1);
  expect(severity(outcome('r', 'a', { ...failed, ageDaysBefore: 10 }))).toBe(2);
  expect(severity(outcome('r', 'a', { ...failed, ageDaysBefore: 80 }))).toBe(3);
  expect(severity(outcome('r', 'a', { ...failed, ageDaysBefore: 91 }))).toBe(4);
  expect(severity(outcome('r', 'a', { ...failed, reason: 'login-refused' }))).toBe(4);
  expect(severity(outcome('r', 'a', { status: 'unknown', certainty: 'in-doubt' }))).toBe(5);
  expect(
    severity({
      ...outcome('r'),
      code: 'account.stopped',
      status: 'failure',
      reason: 'password-lost',
      certainty: 'lost',
    }),
  ).toBe(5);
});

test.each([
  ['intact', 'Success', 1],
  ['incomplete', 'Success', 1],
  ['altered', 'Failure', 3],
] as const)('a verification that found the log %s is recorded as %s', (state, status, severity) => {
  const record = parsed({ code: 'log.verified', state, size: 7, root: 'AA==' });

  expect([record['status'], record['severity_id']]).toEqual([status, severity]);
});

test('every record is one line of JSON of at most 64 KiB, whatever its texts are', () => {
  const strange = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constant('\u0001'.repeat(9000)),
    fc.constant('\ud800"\n\u2028'),
  );
  fc.assert(
    fc.property(strange, strange, strange, (account, detail, reason) => {
      const trigger = { kind: 'manual', reason, requestedBy: detail, changeRef: account } as const;
      const line = formatRecord(
        outcome(account, account, { detail, trigger, username: account, secretId: reason }),
        stamp,
        cloudContext,
      );
      expect(Buffer.byteLength(line)).toBeLessThan(maxLineBytes);
      expect(line).not.toContain('\n');
      expect(line).toBe(canonical(JSON.parse(line)));
      expect(viewLine(line)).toMatchObject({ sequence: 7, code: 'rotation.outcome' });
    }),
    { numRuns: 200 },
  );
});

test('reading a record returns what the event said', () => {
  const event = outcome('r-1', 'fleet "ü"', {
    trigger: { kind: 'manual', requestedBy: 'mia', reason: 'drill', changeRef: 'CHG-7' },
  });
  expect(viewLine(formatRecord(event, stamp, cloudContext))).toMatchObject({
    account: 'fleet "ü"',
    username: 'uws-a',
    rotationId: 'r-1',
    status: 'success',
    actor: 'rotator',
    trigger: 'manual',
    requestedBy: 'mia',
    triggerReason: 'drill',
    changeRef: 'CHG-7',
    verifiedBy: 'login',
    deadWindowMs: 840,
    versionAfter: 'r-1',
    policyMaxAgeDays: 90,
  });
  expect([viewLine('[]'), viewLine('{}'), viewLine('{'), viewLine('null')]).toEqual([
    null,
    null,
    null,
    null,
  ]);
});

test('a uid is a version 7 UUID with its time; the inventory hash ignores order', () => {
  const uid = uuidv7(march);
  expect(uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(Number.parseInt(uid.replace('-', '').slice(0, 12), 16)).toBe(march);
  expect(inventoryHash(['b', 'a'])).toBe(inventoryHash(['a', 'b']));
  expect(inventoryHash(['a', 'b'])).not.toBe(inventoryHash(['ab']));
});
