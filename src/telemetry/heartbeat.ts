// The heartbeat: tells a monitor outside that a run over the accounts started and ended. A monitor
// that receives nothing in time raises the alarm: this program may not be able to. Delivery is
// bounded, never delays a rotation, and the address, which is a secret, never reaches a log.
//
//   Healthchecks.io and what follows it     POST {url}/start, POST {url}, POST {url}/fail, with a
//                                           short text as body (healthchecks.io/docs, read 2026-11)
//   Uptime Kuma push ({…}/api/push/{key})   GET {url}?status=up|down&msg={text}, and no start

import pLimit from 'p-limit';
import type { Clock } from '../rotation/ports.ts';
import { isGood } from '../rotation/result.ts';
import type { RunResult } from '../scheduler/run.ts';
import { counted } from '../text.ts';
import type { Log } from './log.ts';
import { post } from './post.ts';

export type Heartbeat = ReturnType<typeof openHeartbeat>;

export type HeartbeatOptions = {
  readonly url: string;
  /** The longest time for one request; milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Pick<Clock, 'sleep' | 'remainingMs'>;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
};

/** Between the tries. Without a signal, the monitor raises the alarm. */
const retryDelaysMs = [2_000, 10_000];
/** A function needs so long for its metrics and its log after the last try. */
const reservedMs = 5_000;

export function openHeartbeat(options: HeartbeatOptions) {
  const { url } = options;
  const isPush = /\/api\/push\/[^/]+\/?$/.test(new URL(url).pathname);
  /** One after the other, so that the end of a run does not overtake its start. */
  const inOrder = pLimit(1);
  const send = (step: string, body: string): Promise<void> => {
    const target = new URL(url);
    target.pathname = `${target.pathname.replace(/\/$/, '')}${step}`;
    return inOrder(() => deliver(options, target, { method: 'POST', body }));
  };
  return {
    /** A run over the accounts started. Never rejects. */
    start: (): Promise<void> => (isPush ? Promise.resolve() : send('/start', '')),
    /** It ended; `isGood`: no account needs attention. Never rejects. */
    end: (isGood: boolean, text: string): Promise<void> => {
      if (!isPush) return send(isGood ? '' : '/fail', text);
      const target = new URL(url);
      target.searchParams.set('status', isGood ? 'up' : 'down');
      target.searchParams.set('msg', text);
      return inOrder(() => deliver(options, target, { method: 'GET' }));
    },
  };
}

/**
 * The text of a signal: how many accounts there are, which ones need attention, and what is wrong
 * with the service itself.
 */
export function heartbeatText(
  accounts: number,
  unwell: readonly string[],
  problems: readonly string[] = [],
): string {
  const all = counted(accounts, 'account');
  if (unwell.length === 0)
    return [all, ...(problems.length > 0 ? problems : ['no problems'])].join(', ');
  const names = `${unwell.slice(0, 5).join(', ')}${unwell.length > 5 ? ', …' : ''}`;
  const text = `${counted(unwell.length, 'account')} of ${accounts} with a problem: ${names}`;
  return [text, ...problems].join('; ');
}

/**
 * Makes a run, between the signals that it starts and how it ended. `accounts`: how many there are,
 * also those for which no attempt was needed.
 */
export async function withHeartbeat(
  heartbeat: Heartbeat | undefined,
  accounts: number,
  makeRun: () => Promise<RunResult>,
): Promise<RunResult> {
  void heartbeat?.start();
  const done = await makeRun();
  const unwell = done.results.flatMap((result) => (isGood(result) ? [] : [result.account]));
  await heartbeat?.end(done.exitCode === 0, heartbeatText(accounts, unwell));
  return done;
}

async function deliver(
  { clock, log, timeoutMs }: HeartbeatOptions,
  target: URL,
  request: { method: string; body?: string },
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const failed = await post('monitor', target, timeoutMs, request);
    if (!failed) return;
    const { detail } = failed;
    const delayMs = retryDelaysMs[tries - 1] ?? Number.POSITIVE_INFINITY;
    if (delayMs + timeoutMs + reservedMs >= clock.remainingMs())
      return log.error('heartbeat.failed', { detail, tries });
    log.warn('heartbeat.retried', { detail, tries });
    await clock.sleep(delayMs);
  }
}
