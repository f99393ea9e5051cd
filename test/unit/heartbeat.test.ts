import { expect, test } from '@jest/globals';
import { heartbeatText, openHeartbeat } from '../../src/telemetry/heartbeat.ts';
import { openMonitor } from '../harness/monitor.ts';

function heartbeatTo(url: string, remainingMs = Number.POSITIVE_INFINITY) {
  const lines: string[] = [];
  const waits: number[] = [];
  const write = (event: string, fields: object = {}): void =>
    void lines.push(JSON.stringify({ event, ...fields }));
  const heartbeat = openHeartbeat({
    url,
    timeoutMs: 5_000,
    clock: { sleep: async (ms) => void waits.push(ms), remainingMs: () => remainingMs },
    log: { info: write, warn: write, error: write },
  });
  return { heartbeat, lines, waits };
}

test('Healthchecks.io gets the start and the end of a run, in this order', async () => {
  await using monitor = await openMonitor();
  const { heartbeat, lines } = heartbeatTo(`${monitor.url}/ping/key`);

  void heartbeat.start();
  await heartbeat.end(true, heartbeatText(12, []));
  void heartbeat.start();
  await heartbeat.end(false, heartbeatText(12, ['east', 'west']));

  expect(monitor.signals).toEqual([
    'POST /ping/key/start',
    'POST /ping/key 12 accounts, no problems',
    'POST /ping/key/start',
    'POST /ping/key/fail 2 accounts of 12 with a problem: east, west',
  ]);
  expect(lines).toEqual([]);
});

test('Uptime Kuma gets only the end of a run', async () => {
  await using monitor = await openMonitor();
  const { heartbeat } = heartbeatTo(`${monitor.url}/api/push/key?status=up&msg=OK&ping=`);

  await heartbeat.start();
  await heartbeat.end(true, '1 account, no problems');
  await heartbeat.end(false, '1 account of 1 with a problem: east');

  expect(monitor.signals).toEqual([
    'GET /api/push/key?status=up&msg=1+account%2C+no+problems&ping=',
    'GET /api/push/key?status=down&msg=1+account+of+1+with+a+problem%3A+east&ping=',
  ]);
});

test('a signal that is refused is sent three times, and no address is printed', async () => {
  await using monitor = await openMonitor(500, 404, 503);
  const { heartbeat, lines, waits } = heartbeatTo(`${monitor.url}/secret-key`);

  await heartbeat.end(true, 'ok');

  expect(waits).toEqual([2_000, 10_000]);
  expect(lines).toEqual([
    '{"event":"heartbeat.retried","detail":"the monitor answered HTTP 500","tries":1}',
    '{"event":"heartbeat.retried","detail":"the monitor answered HTTP 404","tries":2}',
    '{"event":"heartbeat.failed","detail":"the monitor answered HTTP 503","tries":3}',
  ]);
});

test('a function near its deadline does not try again', async () => {
  const { heartbeat, lines, waits } = heartbeatTo('http://127.0.0.1:9/secret-key', 11_000);

  await heartbeat.end(true, 'ok');

  expect(waits).toEqual([]);
  expect(lines).toEqual([
    '{"event":"heartbeat.failed","detail":"the monitor is unreachable","tries":1}',
  ]);
});

test('the text of a signal names the first five accounts with a problem', () => {
  expect(heartbeatText(9, ['a', 'b', 'c', 'd', 'e', 'f'])).toBe(
    '6 accounts of 9 with a problem: a, b, c, d, e, …',
  );
});
