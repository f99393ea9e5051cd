// A process that changes a file store until its work is done or it is killed. The test that starts
// it bundles it.
//
//   node store-child.mjs DIRECTORY IDENTITY_FILE SECRET_ID rotate TOKEN
//     stores TOKEN under AWSPENDING, then moves AWSCURRENT to it
//   node store-child.mjs DIRECTORY IDENTITY_FILE SECRET_ID count TIMES
//     increments AWSCURRENT TIMES times, by compare-and-swap
//
// Each completed step is a line on standard output, written at once: an acknowledged step must be
// in the store. A Failure is one line of JSON.

import { randomUUID } from 'node:crypto';
import { writeSync } from 'node:fs';
import { openClock } from '../../src/clock.ts';
import { Failure } from '../../src/rotation/failure.ts';
import { Secret } from '../../src/secret.ts';
import { readIdentityFile } from '../../src/stores/age-key.ts';
import { openFileStore } from '../../src/stores/file-store.ts';
import type { VersionStore } from '../../src/stores/version-store.ts';

const [directory = '', identityFile = '', secretId = '', work = '', argument = ''] =
  process.argv.slice(2);
const say = (line: string): void => {
  writeSync(1, `${line}\n`);
};

async function rotate(versions: VersionStore, token: string): Promise<void> {
  const current = await versions.read({ stage: 'AWSCURRENT' });
  say(await versions.put({ token, value: new Secret('the new value'), stages: ['AWSPENDING'] }));
  say(await versions.move('AWSCURRENT', current?.versionId ?? null, token));
}

async function count(versions: VersionStore, times: number): Promise<void> {
  for (let done = 0; done < times; ) {
    const current = await versions.read({ stage: 'AWSCURRENT' });
    const number = Number(current && current.value !== 'binary' && current.value.reveal());
    const token = randomUUID();
    await versions.put({
      token,
      value: new Secret(String(number + 1)),
      stages: [`MINE-${process.pid}`],
    });
    if ((await versions.move('AWSCURRENT', current?.versionId ?? null, token)) === 'conflict')
      continue;
    done += 1;
    say(`counted ${token}`);
  }
}

try {
  const store = await openFileStore({
    directory,
    identity: await readIdentityFile(identityFile),
    clock: openClock(),
  });
  say('open');
  const versions = store.versions(secretId);
  await (work === 'rotate' ? rotate(versions, argument) : count(versions, Number(argument)));
  say('done');
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  say(JSON.stringify({ reason: error.reason, detail: error.message }));
}
