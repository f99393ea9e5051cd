// The log prints the fields of its allow-list, and nothing else.

import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Secret } from '../../src/secret.ts';
import { allowed, logEvent, openLog } from '../../src/telemetry/log.ts';

async function linesOf(
  style: 'json' | 'text',
  write: (log: ReturnType<typeof openLog>) => void,
): Promise<string[]> {
  const stream = new PassThrough();
  const read = text(stream);
  const log = openLog({ level: 'debug', style, stream, context: { requestId: 'r-1' } });
  write(log);
  await log.close();
  stream.end();
  return (await read).split('\n').filter((line) => line !== '');
}

test('a field outside the allow-list is dropped, and so is every object', () => {
  const error = Object.assign(new Error('planted'), { options: { body: 'planted' } });

  const kept = allowed({
    account: 'east',
    password: 'planted',
    error,
    detail: new Secret('planted'),
    tries: 3,
    sessionToken: 'planted',
  });

  expect(kept).toEqual({ account: 'east', tries: 3 });
});

test('an event becomes one JSON line with its reason and the next step', async () => {
  const [line = ''] = await linesOf('json', (log) =>
    logEvent(log, {
      event: 'attempt.finished',
      account: 'east',
      outcome: 'stopped',
      certainty: 'stopped',
      reason: 'login-refused',
      logins: 1,
    }),
  );

  expect({ ...JSON.parse(line), time: 'now' }).toEqual({
    time: 'now',
    level: 'error',
    event: 'attempt.finished',
    requestId: 'r-1',
    account: 'east',
    logins: 1,
    reason: 'login-refused',
    next: expect.stringContaining('Store the correct password'),
    outcome: 'stopped',
    certainty: 'stopped',
  });
});

test('a line of text stays one line, whatever its fields hold', async () => {
  const lines = await linesOf('text', (log) =>
    log.warn('reset.refused', { account: 'east', detail: 'two\nlines "and" quotes' }),
  );

  expect(lines).toEqual([
    expect.stringMatching(
      new RegExp(
        '^\\S+ warn {2}reset\\.refused account=east requestId=r-1 ' +
          'detail="two\\\\nlines \\\\"and\\\\" quotes"$',
      ),
    ),
  ]);
});

test('every line has reached the stream when the log is closed', async () => {
  const lines = await linesOf('json', (log) => {
    for (let count = 0; count < 5_000; count += 1) log.info('survey.finished', { count });
  });

  expect(lines).toHaveLength(5_000);
});

test('failures are errors, refusals are warnings, and progress is debug output', async () => {
  const account = 'east';
  const levels = await linesOf('json', (log) => {
    logEvent(log, { event: 'reset.in-doubt', account, detail: 'HTTP 503' });
    logEvent(log, { event: 'reset.refused', account, detail: 'HTTP 429' });
    logEvent(log, { event: 'secret.promoted', account, versionId: 'v' });
    logEvent(log, { event: 'survey.finished', account, finding: 'clean' });
  });

  expect(levels.map((line) => JSON.parse(line).level)).toEqual(['error', 'warn', 'info', 'debug']);
});
