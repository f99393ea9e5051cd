// The recover sweep in this process, with its calls to AWS counted.

import { runScheduled } from '../../src/lambda/scheduled.ts';
import { type Instance, type LambdaRig, openLambdaRig } from '../harness/lambda-world.ts';

const order = { action: 'rotate', force: true, reason: 'test' };
const sweep = { source: 'aws.scheduler', 'detail-type': 'sweep' };
let rig: LambdaRig;
let instance: Instance;
afterEach(() => rig.close());

async function open(): Promise<void> {
  rig = await openLambdaRig({ users: { east: 'old-east', west: 'old-west' } });
  instance = rig.instance();
}

/** A rotation whose password is stored and could not be made current before the time was over. */
async function leaveOpen(): Promise<void> {
  let remainingMs = 900_000;
  rig.secretsManager.inject('UpdateSecretVersionStage', 'access-denied', 1_000);
  const accounts = ['thingspace/east'];
  const running = instance.invoke(runScheduled, { ...order, accounts }, () => remainingMs);
  await instance.line('"event":"saving.retried"');
  remainingMs = 0;
  expect((await running).results).toMatchObject([{ reason: 'not-promoted' }]);
  rig.secretsManager.heal();
}

test('a sweep reads the audit log once, and does nothing else, when nothing is open', async () => {
  await open();
  await instance.invoke(runScheduled, order);
  const before = [rig.secretsManager.requests.length, rig.thingspace.requests.length];
  const calls = rig.aws.calls.length;
  const lines = instance.lines.length;

  const answer = await instance.invoke(runScheduled, sweep);

  expect(answer).toEqual({ exitCode: 0, accounts: 0, results: [], queued: [], warnings: [] });
  expect(rig.aws.calls.slice(calls).map(({ action }) => action)).toEqual(['GetObject']);
  expect([rig.secretsManager.requests.length, rig.thingspace.requests.length]).toEqual(before);
  expect(instance.lines.slice(lines)).toEqual([]);
});

// On 03af53f the secret held an invalid password until the daily run of the next day.
test('a sweep completes a rotation whose function ended before it could', async () => {
  await open();
  await leaveOpen();
  const isValid = () => rig.current('east').password === rig.thingspace.livePassword('east');
  expect(isValid()).toBe(false);

  const answer = await rig.instance().invoke(runScheduled, sweep);

  expect(answer.results).toMatchObject([{ account: 'thingspace/east', outcome: 'recovered' }]);
  expect(isValid()).toBe(true);
  expect(rig.thingspace.resetsReceived('east')).toBe(1);
  expect((await instance.invoke(runScheduled, sweep)).results).toEqual([]);
});

test('sweeps during an outage of ThingSpace spend one login together', async () => {
  await open();
  await leaveOpen();
  const logins = rig.thingspace.loginsReceived('east');
  rig.thingspace.arm({ fault: '503-before', call: 'login', count: Number.POSITIVE_INFINITY });

  for (let sweeps = 0; sweeps < 5; sweeps += 1) await instance.invoke(runScheduled, sweep);

  expect(rig.thingspace.loginsReceived('east') - logins).toBe(1);
  rig.thingspace.clearFaults();
  const { results } = await instance.invoke(runScheduled, { source: 'aws.scheduler' });
  expect(results).toMatchObject([{ outcome: 'recovered' }, { outcome: 'not-due' }]);
});

test('a sweep leaves a rotation alone that another process is working on', async () => {
  await open();
  rig.thingspace.arm({ fault: 'hang', call: 'reset' });
  const committed = rig.thingspace.waitFor('committed', { call: 'reset' });
  const running = instance.invoke(runScheduled, { ...order, accounts: ['thingspace/east'] });
  await committed;
  const requests = rig.thingspace.requests.length;
  const records = () => [...rig.aws.objects.keys()].length;
  const written = records();

  const answer = await rig.instance().invoke(runScheduled, sweep);

  expect([answer.results, records()]).toEqual([[], written]);
  expect(rig.thingspace.requests).toHaveLength(requests);
  rig.thingspace.release();
  await running;
});

test('a sweep that cannot read the audit log reports it, and ends without an error', async () => {
  await open();
  await instance.invoke(runScheduled, order);
  rig.aws.inject('GetObject', 'denied', 100);

  const answer = await instance.invoke(runScheduled, sweep);

  expect(answer).toMatchObject({ exitCode: 1, results: [] });
  expect(instance.lines.some((line) => line.includes('audit_failures_total'))).toBe(true);
});
