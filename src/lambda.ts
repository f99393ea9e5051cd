// The entry points of the functions on AWS Lambda, one bundle for all three. The configuration
// comes from the environment (ROTATOR_…, serverless.yml). Logs, receipts and metrics go to standard
// output.

import { runStep } from './lambda/rotation-steps.ts';
import { createInstance, type Invocation, type LambdaContext } from './lambda/runtime.ts';
import { runScheduled } from './lambda/scheduled.ts';
import { runWorker } from './lambda/sqs-worker.ts';
import { writeLineTo } from './telemetry/write-line.ts';

const instance = createInstance({
  env: process.env,
  // Instances are copies of one machine: the boot id and the pid of another instance can be the
  // same as ours. So a pid proves nothing here, and the lease decides.
  pid: 0,
  cwd: process.cwd(),
  writeLine: (line) => writeLineTo(1, line, Number.POSITIVE_INFINITY),
  // Lambda sends SIGTERM before it ends an instance, but only where an extension is registered.
  onShutdown: (handler) => process.on('SIGTERM', handler),
});

const handler =
  <T>(work: (event: unknown, invocation: Invocation) => Promise<T>) =>
  (event: unknown, context: LambdaContext): Promise<T> =>
    instance.invoke(context, (invocation) => work(event, invocation));

/** The daily run of EventBridge Scheduler, and orders: `{"action":"rotate","accounts":[…], …}`. */
export const scheduled = handler(runScheduled);

/** One account per SQS message; the response names the messages that SQS must deliver again. */
export const worker = handler(runWorker);

/** Rotation by Secrets Manager: createSecret, setSecret, testSecret, finishSecret. */
export const rotationSteps = handler(runStep);
