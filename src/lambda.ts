// The functions on AWS Lambda, one bundle for all three. Configuration comes from the environment (ROTATOR_…, serverless.yml);
// logs, receipts and metrics go to standard output, line by line, synchronously, so that a killed instance has told what it knew.

import { writeSync } from 'node:fs';
import { runStep } from './lambda/rotation-steps.ts';
import { type Context, createWorld, type Invocation } from './lambda/runtime.ts';
import { runScheduled } from './lambda/scheduled.ts';
import { runWorker } from './lambda/sqs-worker.ts';

const world = createWorld({
  env: process.env,
  // No process's evidence: instances are copies of one machine, so that another one's boot id and pid may well be ours. The
  // lease decides.
  pid: 0,
  cwd: process.cwd(),
  writeLine,
  // Lambda sends it before it takes an instance away, where an extension is registered; else the instance is just frozen for ever.
  onShutdown: (handler) => process.on('SIGTERM', handler),
});

const handler =
  <T>(work: (event: unknown, invocation: Invocation) => Promise<T>) =>
  (event: unknown, context: Context): Promise<T> =>
    world.invoke(context, (invocation) => work(event, invocation));

/** EventBridge Scheduler's daily look; by hand `{"action":"rotate","accounts":[…],"force":true,"reason":"…","changeRef":"…"}`. */
export const scheduled = handler(runScheduled);

/** One account per SQS message; answers which messages are to come back. */
export const worker = handler(runWorker);

/** Secrets Manager's own rotation: createSecret, setSecret, testSecret, finishSecret. */
export const rotationSteps = handler(runStep);

/** Whole lines, also into a full pipe. */
function writeLine(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(1, bytes, offset);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
