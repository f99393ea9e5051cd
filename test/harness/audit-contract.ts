// What every audit log owes (rotation/ports.ts AuditLog, audit/log.ts AuditWriter), run over each
// storage.

import { parseVerifierKey, type Signer } from '../../src/audit/checkpoint.ts';
import type { AuditWriter } from '../../src/audit/log.ts';
import { listRecords } from '../../src/audit/query.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { Failure } from '../../src/rotation/failure.ts';
import { dayMs, intended, outcome, type TestClock } from './audit.ts';

export type ContractLog = {
  readonly clock: TestClock;
  readonly signer: Signer;
  /** Opens the same log again, as another process would. */
  open(fallback?: (line: string) => void): Promise<AuditWriter>;
  /**
   * Whether an open log sees the checkpoint of another process (segments.ts: `newestCheckpoint`
   * MAY miss it).
   */
  readonly seesOtherCheckpoints: boolean;
  /**
   * Makes the next append fail, as a full disk or a rejected request would; `false` corrects it.
   */
  breakIt(isBroken: boolean): void;
};

/** Runs the contract against `make`, which gives an empty log each time. */
export function auditLogContract(name: string, make: () => Promise<ContractLog>): void {
  const codesOf = async ({ source }: AuditWriter): Promise<string[]> => {
    const codes: string[] = [];
    for await (const { view } of listRecords(source, {})) codes.push(view.code);
    return codes;
  };

  test(`${name}: append keeps the order, and the next process reads it`, async () => {
    const { open } = await make();
    const log = await open();
    await Promise.all([
      log.append([intended('r-1')]),
      log.append([outcome('r-1'), intended('r-2')]),
      log.append([]),
    ]);
    await log.close();

    const again = await open();
    expect(await codesOf(again)).toEqual([
      'log.genesis',
      'rotation.intended',
      'rotation.outcome',
      'rotation.intended',
    ]);
    await again.close();
  });

  test(`${name}: openIntents returns unfinished rotations, oldest first`, async () => {
    const { open, clock } = await make();
    const log = await open();
    await log.append([intended('r-1'), intended('r-2', 'other')]);
    clock.atMs += 1000;
    await log.append([intended('r-3'), intended('r-4')]);
    await log.append([
      outcome('r-4', 'fleet-a', {
        code: 'rotation.reconciled',
        status: 'unknown',
        certainty: 'in-doubt',
      }),
    ]);

    const open_ = (await log.rotationsOf('fleet-a')).open;
    expect(open_.map(({ rotationId }) => rotationId)).toEqual(['r-1', 'r-3']);
    expect(open_.map(({ intendedAtMs }) => clock.atMs - intendedAtMs)).toEqual([1000, 0]);
    expect((await log.rotationsOf('nobody')).open).toEqual([]);
    await log.close();
  });

  test(`${name}: a suspension is known until it is resumed, also after a restart`, async () => {
    const { open, clock } = await make();
    const log = await open();
    const about = {
      account: 'fleet-a',
      secretId: 'secret-a',
      trigger: { kind: 'manual' },
    } as const;
    const stopped = { code: 'account.stopped', status: 'failure', ...about } as const;
    await log.append([{ ...stopped, attemptRecord: 4 }]);
    await log.checkpoint();
    await log.append([{ ...stopped, attemptRecord: 7, account: 'fleet-b' }]);
    await log.close();

    const again = await open();
    const suspensions = async () => [
      (await again.rotationsOf('fleet-a')).suspension,
      (await again.rotationsOf('fleet-b')).suspension,
    ];
    const [first, second] = [4, 7].map((attemptRecord) => ({
      secretId: 'secret-a',
      attemptRecord,
      atMs: clock.atMs,
    }));
    expect(await suspensions()).toEqual([first, second]);
    await again.append([{ code: 'account.resumed', status: 'success', ...about }]);
    expect(await suspensions()).toEqual([null, second]);
    await again.close();
  });

  test(`${name}: a requested run and its result are known for seven days`, async () => {
    const { open, clock } = await make();
    const trigger = { kind: 'manual', requestedBy: 'ops' } as const;
    const run = (runId: string) => ({ code: 'run.started', runId, accounts: 1, trigger }) as const;
    const request = { account: 'east', keyDigest: 'k', sha256: 's', force: 'true' } as const;
    const log = await open();
    const [startedAtMs] = [clock.atMs];
    await log.append([run('of the schedule'), { ...run('one'), ...request }]);
    await log.append([
      {
        ...{ code: 'run.finished', runId: 'one', exitCode: 0, rotated: 1, failed: 0, trigger },
        account: 'east',
        result: {
          ...{ account: 'east', secretId: 'secret', outcome: 'rotated', certainty: 'rotated' },
          ...{ rotationId: 'r-1', versionId: 'v-1', logins: 2, deadWindowMs: 7, next: '' },
          ...{ ageDays: 80.5, dueAtMs: startedAtMs + dayMs, startedAtMs, endedAtMs: startedAtMs },
        },
      },
    ]);
    await log.checkpoint();
    await log.append([{ ...run('two'), account: 'west', sha256: 't' }]);
    await log.close();

    const again = await open();
    const known = [...again.requestedRuns().values()];
    clock.atMs += 7 * dayMs;
    await again.append([{ ...run('three'), account: 'west', sha256: 'u' }]);
    const later = [...again.requestedRuns().keys()];
    await again.close();

    expect(known).toEqual([
      {
        ...{ runId: 'one', account: 'east', startedAtMs, force: true, keyDigest: 'k', sha256: 's' },
        requestedBy: 'ops',
        end: {
          ...{ atMs: startedAtMs, outcome: 'rotated', certainty: 'rotated', secretId: 'secret' },
          ...{ rotationId: 'r-1', versionId: 'v-1', ageDays: 80, logins: 2, deadWindowMs: 7 },
          dueAtMs: startedAtMs + dayMs,
        },
      },
      {
        ...{ runId: 'two', account: 'west', startedAtMs, force: false, sha256: 't' },
        requestedBy: 'ops',
      },
    ]);
    expect(later).toEqual(['three']);
  });

  test(`${name}: two writers leave one order without gaps`, async () => {
    const { open, clock, signer, seesOtherCheckpoints } = await make();
    const [one, two] = [await open(), await open()];
    await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        (index % 2 === 0 ? one : two).append([intended(`r-${index}`)]),
      ),
    );
    await one.checkpoint();
    clock.atMs += dayMs;
    await two.checkpoint();

    const verification = await verifyLog(two.source, {
      verifiers: [parseVerifierKey(signer.verifierKey)],
    });
    // With the checkpoint of the first one in view, the second one appends a heartbeat and signs
    // again.
    expect(verification).toMatchObject({
      state: 'intact',
      records: seesOtherCheckpoints ? 32 : 31,
      checkpoints: seesOtherCheckpoints ? 2 : 1,
      sealedRecords: seesOtherCheckpoints ? 32 : 31,
    });
    expect((await one.rotationsOf('fleet-a')).open.length).toBe(30);
    await Promise.all([one.close(), two.close()]);
  });

  test(`${name}: a failed append leaves no record and is recorded later`, async () => {
    const { open, breakIt } = await make();
    const strays: string[] = [];
    const log = await open((line) => strays.push(line));
    await log.append([intended('r-1')]);
    breakIt(true);
    for (const event of [outcome('r-1'), intended('r-2')]) {
      const error = await log.append([event]).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Failure);
      expect((error as Failure).reason).toBe('audit-unavailable');
    }
    breakIt(false);
    expect((await log.rotationsOf('fleet-a')).open.map(({ rotationId }) => rotationId)).toEqual([
      'r-1',
    ]);
    await log.append([intended('r-3')]);

    expect(await codesOf(log)).toEqual([
      'log.genesis',
      'rotation.intended',
      'sink.failed',
      'rotation.intended',
    ]);
    expect(strays.map((line) => JSON.parse(line).metadata)).toMatchObject([
      { event_code: 'rotation.outcome', correlation_uid: 'r-1' },
    ]);
    await log.close();
  });
}
