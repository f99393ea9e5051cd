// The servers of a benchmark, in a separate process: a simulated ThingSpace and Secrets Manager
// behind relays with a round trip time. Prints one line of JSON with their addresses, and ends when
// its standard input does.

import { parseArgs } from 'node:util';
import { openSecretsManagerSimulator } from '../src/simulator/secrets-manager.ts';
import { openThingSpaceSimulator } from '../src/simulator/thingspace.ts';
import { createJournal, openDelay } from '../test/harness/delay.ts';
import { application, eightKeys } from '../test/harness/rig.ts';

const { values } = parseArgs({
  options: {
    accounts: { type: 'string', default: '1' },
    'round-trip-ms': { type: 'string', default: '40' },
  },
});
const names = Array.from({ length: Number(values.accounts) }, (_, index) => `account-${index}`);
const thingspace = await openThingSpaceSimulator({
  users: names.map((username) => ({ username, password: `password of ${username}` })),
  applications: [application],
});
const secretsManager = await openSecretsManagerSimulator();
for (const name of names) {
  secretsManager.call('CreateSecret', {
    Name: `thingspace/${name}`,
    SecretString: eightKeys(name, `password of ${name}`),
    ClientRequestToken: crypto.randomUUID(),
  });
}
const common = {
  roundTripMs: Number(values['round-trip-ms']),
  journal: createJournal(),
  nameOf: ({ path }: { path: string }) => path,
};
const relays = [
  await openDelay({ target: thingspace.baseUrl, ...common }),
  await openDelay({ target: secretsManager.url, ...common }),
];
console.log(
  JSON.stringify({ thingspace: `${relays[0]?.url}/api`, secretsManager: relays[1]?.url }),
);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
