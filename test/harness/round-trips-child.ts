// A rotator as a process: `node scripts/ts.mjs test/harness/round-trips-child.ts FOLDER`. Each line
// on standard input starts one rotation of the first account; its outcome and its time in
// milliseconds are one line of JSON on standard output.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { compose } from '../../src/app.ts';
import { openClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config/load.ts';

const folder = process.argv[2] ?? '';
const file = join(folder, 'rotator.yaml');
const rotator = await compose(
  await parseConfig({ text: readFileSync(file, 'utf8'), file, folder, env: {} }),
  {
    clock: openClock(),
    pid: process.pid,
    context: { actor: { name: 'tester' }, productVersion: '0.0.0' },
    observe: () => {},
    writeLine: () => {},
  },
);
const [account] = await rotator.accounts();
if (!account) throw new Error('the configuration names no account');
console.log('ready');
for await (const _ of createInterface({ input: process.stdin })) {
  const startedMs = performance.now();
  const { outcome, reason, detail, deadWindowMs } = await rotator.attempt(
    account,
    { purpose: 'rotate', force: true, trigger: { kind: 'manual' } },
    new AbortController().signal,
  );
  const tookMs = performance.now() - startedMs;
  console.log(JSON.stringify({ outcome, reason, detail, deadWindowMs, tookMs }));
}
await rotator.close();
