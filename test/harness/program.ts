// The built program as a child process, in the folder of a rig.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { openRig, type Rig, type RigOptions } from './rig.ts';

const cli = resolve('dist/cli.js');

/** A rig whose configuration file has these times. */
export async function openProgramRig(
  options: RigOptions,
  thingspace: Readonly<Record<string, number>>,
): Promise<Rig> {
  const rig = await openRig(options);
  const path = join(rig.folder, 'rotator.yaml');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(
    path,
    JSON.stringify({ ...config, thingspace: { ...config.thingspace, ...thingspace } }),
  );
  return rig;
}

export type Finished = {
  readonly code: number | null;
  readonly result: Record<string, unknown> | null;
  readonly said: string;
};

export type Program = { readonly child: ChildProcess; readonly finished: Promise<Finished> };

/** Starts `thingspace-rotator ARGUMENTS`, behind `wrap` (strace, faketime) where given. */
export function startProgram(
  rig: Rig,
  args: readonly string[],
  options: { wrap?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Program {
  const { wrap = [], env = {} } = options;
  const [command = '', ...words] = [
    ...wrap,
    process.execPath,
    cli,
    ...args,
    '--json',
    '--config',
    join(rig.folder, 'rotator.yaml'),
  ];
  const child = spawn(command, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const finished = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([out, said, [code]]) => ({
      code,
      said,
      result: out.trim() === '' ? null : JSON.parse(out.trim().split('\n')[0] ?? ''),
    }),
  );
  return { child, finished };
}

/** Waits for a moment, or throws when the program ends before it. */
export async function whileRunning(
  { finished }: Program,
  moment: Promise<unknown> | undefined,
): Promise<void> {
  const ended = finished.then(({ said }) => {
    throw new Error(`the program ended before the moment came: ${said}`);
  });
  ended.catch(() => {});
  await Promise.race([moment, ended]);
}
