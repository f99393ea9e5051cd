// The dependent round trips of one healthy rotation, with TCP and TLS 1.3 to both hosts. Without
// connections that are opened ahead there are 21 in a new process and 17 in a running one.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createCertificate } from '../harness/certificate.ts';
import { closing } from '../harness/closing.ts';
import { limitMs } from '../harness/limits.mjs';
import { openRig } from '../harness/rig.ts';
import { addressOf, type FlightClock, openRelay, openTlsFront } from '../harness/round-trips.ts';
import { testWith } from '../harness/tools.ts';

/** Clearly longer than any step computes, also on a busy machine. */
const roundTripMs = limitMs(400);

testWith('openssl')(
  'a rotation takes 11 round trips in a new process, and 9 in a running one',
  async () => {
    const tls = createCertificate();
    const clock: FlightClock = { flights: 0 };
    const relays: { close(): Promise<void> }[] = [];
    await using rig = await openRig({
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
    await using _relays = closing(relays);
    const certificate = join(rig.folder, 'cert.pem');
    writeFileSync(certificate, tls.cert);
    const child = spawn(
      process.execPath,
      ['scripts/ts.mjs', 'test/harness/round-trips-child.ts', rig.folder],
      {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
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

    expect({ cold, warm }).toEqual({
      cold: { outcome: 'rotated', roundTrips: 11 },
      warm: { outcome: 'rotated', roundTrips: 9 },
    });
  },
);
