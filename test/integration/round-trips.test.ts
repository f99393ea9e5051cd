// The dependent round trips of one healthy rotation, with TCP and TLS 1.3 to both hosts. Without
// connections that are opened ahead there are 21 in a new process and 17 in a running one.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createCertificate } from '../harness/certificate.ts';
import { openRig } from '../harness/rig.ts';
import { addressOf, type FlightClock, openRelay, openTlsFront } from '../harness/round-trips.ts';

/** Clearly longer than any step computes, also on a busy machine. */
const roundTripMs = 400;

test('a rotation takes 11 round trips in a new process, and 9 in a running one', async () => {
  const tls = createCertificate();
  const folder = mkdtempSync(join(tmpdir(), 'round-trips-'));
  writeFileSync(join(folder, 'cert.pem'), tls.cert);
  const clock: FlightClock = { flights: 0 };
  const relays: { close(): Promise<void> }[] = [];
  const rig = await openRig({
    store: 'secrets-manager',
    users: { east: 'old' },
    thingspace: { tls },
    relay: async (urls) => {
      const front = await openTlsFront(addressOf(urls.secretsManager ?? ''), tls);
      const secretsManager = await openRelay(
        { host: '127.0.0.1', port: front.port },
        roundTripMs,
        clock,
      );
      const thingspace = await openRelay(addressOf(urls.thingspace), roundTripMs, clock);
      relays.push(secretsManager, thingspace, front);
      return {
        thingspace: `https://127.0.0.1:${thingspace.port}/api`,
        secretsManager: `https://127.0.0.1:${secretsManager.port}`,
      };
    },
  });
  const child = spawn(
    process.execPath,
    ['scripts/ts.mjs', 'test/harness/round-trips-child.ts', rig.folder],
    {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'cert.pem') },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const lines = createInterface({ input: child.stdout });
  await once(lines, 'line');

  const rotate = async () => {
    const before = clock.flights;
    child.stdin.write('\n');
    const [line] = await once(lines, 'line');
    const { outcome } = JSON.parse(line);
    return { outcome, roundTrips: (clock.flights - before) / 2 };
  };
  const cold = await rotate();
  const warm = await rotate();
  child.stdin.end();
  await once(child, 'exit');
  for (const relay of relays) await relay.close();
  await rig.close();
  rmSync(folder, { recursive: true });

  expect({ cold, warm }).toEqual({
    cold: { outcome: 'rotated', roundTrips: 11 },
    warm: { outcome: 'rotated', roundTrips: 9 },
  });
});
