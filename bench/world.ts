// The servers of a benchmark, in a separate process: a simulated ThingSpace and Secrets Manager
// behind relays with a round trip time. Prints one line of JSON with their addresses, and ends when
// its standard input does.

import { parseArgs } from 'node:util';
import { openThingSpaceSimulator } from '../src/simulator/thingspace.ts';
import { openSecretsManagerSimulator } from '../test/fakes/secrets-manager.ts';
import { application, eightKeys } from '../test/harness/rig.ts';
import { addressOf, openRelay } from '../test/harness/round-trips.ts';

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
const roundTripMs = Number(values['round-trip-ms']);
const relay = async (url: string) => {
  const { port } = await openRelay(addressOf(url), roundTripMs, { flights: 0 });
  return `http://127.0.0.1:${port}`;
};
console.log(
  JSON.stringify({
    thingspace: `${await relay(thingspace.baseUrl)}/api`,
    secretsManager: await relay(secretsManager.url),
  }),
);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
