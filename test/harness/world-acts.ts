// What a process of this program is started for, as people, schedules and Secrets Manager start it.

import { Secret } from '../../src/secret.ts';
import {
  answersIn,
  beginNatively,
  labelled,
  moveLabel,
  nameOf,
  newestRecord,
  type World,
} from './world.ts';
import type { Attempt, Order, Script, StepName } from './world-run.ts';

const secondMs = 1_000;
const steps: readonly StepName[] = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'];

const ordering =
  (orderIn: (world: World) => Order) =>
  async (attempt: Attempt, world: World): Promise<void> => {
    await attempt.rotate(orderIn(world));
  };

/** `recover`, by a person. */
const recovering = { purpose: 'recover', impatient: true } as const;

/** What a person can give for the open rotation: the opened receipt or response. */
function bodyIn(world: World): { rotationId: string; text: string } | null {
  const rotationId = newestRecord(world)?.open?.rotationId;
  if (rotationId === undefined) return null;
  const text = world.receipts.get(rotationId) ?? answersIn(world).at(-1);
  return text === undefined ? null : { rotationId, text };
}

function withReceipt(world: World): Order {
  const found = bodyIn(world);
  if (!found) return recovering;
  const body = new Secret(new TextEncoder().encode(found.text));
  return { ...recovering, receipt: { rotationId: found.rotationId, place: 'a file', body } };
}

function withPassword(world: World, isWrong: boolean): Order {
  const found = bodyIn(world);
  const rotationId = newestRecord(world)?.open?.rotationId;
  if (rotationId === undefined) return recovering;
  const read = /^[{<](.*)[}>]?$/.exec(found?.text ?? '')?.[1]?.replace(/[}>]$/, '');
  const password = new Secret(isWrong || read === undefined || read === 'html' ? '§typo' : read);
  return { ...recovering, receipt: { rotationId, place: 'standard input', body: null, password } };
}

/** Secrets Manager repeats all steps when one fails. */
async function rotateNatively(
  attempt: Attempt,
  world: World,
  order: readonly StepName[],
  tries: number,
): Promise<void> {
  const token = beginNatively(world);
  if (token === null) return;
  for (let count = 0; count < tries; count += 1) {
    let isDone = true;
    for (const step of order) {
      isDone = await attempt.step(step, token);
      if (!isDone) break;
    }
    const isCurrent = labelled(world, 'AWSCURRENT')?.id === token;
    // AWSPENDING leaves a version that has become current.
    if (isDone && isCurrent && labelled(world, 'AWSPENDING')?.id === token)
      moveLabel(world, 'AWSPENDING', null);
    if (isDone) return;
    await attempt.sleep(60 * secondMs);
  }
}

const acts = {
  rotate: ordering(() => ({})),
  'rotate --force': ordering(() => ({ force: true })),
  /** The same order each time, delivered again. */
  'rotate --force with a key': ordering(() => ({ force: true, keyDigest: 'one order' })),
  check: ordering(() => ({ purpose: 'check' })),
  recover: ordering(() => recovering),
  'recover with the receipt': ordering(withReceipt),
  'recover with the typed password': ordering((world) => withPassword(world, false)),
  'recover with a wrong password': ordering((world) => withPassword(world, true)),
  resume: ordering(() => ({ purpose: 'resume' })),
  'resume --abandon': ordering((world) => {
    const abandon = newestRecord(world)?.open?.rotationId;
    return abandon === undefined ? { purpose: 'resume' } : { purpose: 'resume', abandon };
  }),
  status: async (attempt: Attempt): Promise<void> => {
    await attempt.status();
  },
  'native rotation': (attempt: Attempt, world: World) => rotateNatively(attempt, world, steps, 3),
  'native steps, each twice': (attempt: Attempt, world: World) =>
    rotateNatively(attempt, world, [...steps, ...steps], 2),
  'native steps from the end': (attempt: Attempt, world: World) =>
    rotateNatively(attempt, world, [...steps].reverse(), 1),
  'native rotation with the token of before': async (attempt: Attempt, world: World) => {
    const token = labelled(world, 'AWSPREVIOUS')?.id ?? beginNatively(world);
    if (token === null) return;
    for (const step of steps) await attempt.step(step, token);
  },
} as const satisfies Record<string, (attempt: Attempt, world: World) => Promise<void>>;

export type Act = keyof typeof acts;
export const everyAct = Object.keys(acts) as Act[];

/** One process: what it does, each some seconds after the one before. */
export type ProcessPlan = {
  readonly acts: readonly (Act | readonly [afterSeconds: number, act: Act])[];
  /** How many hours its clock is ahead. */
  readonly clockHours?: number;
  /** How long its platform lets it run, in seconds. */
  readonly limitSeconds?: number;
};

export function scriptOf(world: World, plan: ProcessPlan): Script {
  const { clockHours = 0, limitSeconds } = plan;
  return {
    name: nameOf(world, 'p'),
    wallOffsetMs: clockHours * 3_600_000,
    ...(limitSeconds === undefined ? {} : { limitMs: limitSeconds * secondMs }),
    run: async (attempt) => {
      for (const one of plan.acts) {
        const [afterSeconds, act] = typeof one === 'string' ? ([0, one] as const) : one;
        if (afterSeconds > 0) await attempt.sleep(afterSeconds * secondMs);
        if (attempt.process.interrupt.signal.aborted) return;
        await acts[act](attempt, world);
      }
    },
  };
}
