// A process that appends to an audit log until its work is done or it is killed. Bundled by the
// tests that start it.
//
//   node audit-child.mjs DIRECTORY KEYFILE NAME APPENDS PER_APPEND exit|throw|wait
//
// After every append it writes "NAME INDEX" to standard output, synchronously: what is acknowledged
// must be in the log.

import { readFileSync, writeSync } from 'node:fs';
import { openSigningKey } from '../../src/audit/checkpoint.ts';
import { openFileSegments } from '../../src/audit/file-segments.ts';
import { openAuditLog } from '../../src/audit/log.ts';
import { openClock } from '../../src/clock.ts';
import { openProcessIdentity } from '../../src/process-identity.ts';

const [directory = '', keyFile = '', name = '', appends = '1', perAppend = '1', ending = 'exit'] =
  process.argv.slice(2);
const clock = openClock();
const log = await openAuditLog({
  segments: await openFileSegments({
    directory,
    processes: openProcessIdentity(process.pid),
    clock,
  }),
  signer: openSigningKey(readFileSync(keyFile, 'utf8')),
  clock,
  origin: 'example.com/fleet/audit',
  context: {
    actor: { name },
    productVersion: '0.1.0',
    policy: { maxAgeDays: 90, warnAgeDays: 75 },
  },
});
writeSync(1, `${name} open\n`);
for (let index = 0; index < Number(appends); index += 1) {
  const events = Array.from({ length: Number(perAppend) }, (_, place) => ({
    code: 'rotation.intended' as const,
    status: 'started' as const,
    account: name,
    secretId: 'thingspace/a',
    rotationId: `${name}-${index}-${place}`,
    trigger: { kind: 'schedule' as const },
  }));
  await log.append(events);
  writeSync(1, `${name} ${index}\n`);
}
if (ending === 'throw') throw new Error('thrown on purpose');
if (ending === 'exit') process.exit(0);
await log.close();
