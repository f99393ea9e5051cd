import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { generateSigningKey, openSigningKey } from '../../src/audit/checkpoint.ts';
import { openFileSegments } from '../../src/audit/file-segments.ts';
import { openAuditLog } from '../../src/audit/log.ts';
import { type ObjectStore, openObjectSegments } from '../../src/audit/object-segments.ts';
import { Failure } from '../../src/rotation/failure.ts';
import {
  context,
  origin,
  processes,
  removeTempFolders,
  tempFolder,
  testClock,
} from '../harness/audit.ts';
import { auditLogContract } from '../harness/audit-contract.ts';

afterEach(removeTempFolders);

auditLogContract('files', async () => {
  const directory = join(tempFolder(), 'audit');
  const signer = openSigningKey(generateSigningKey(origin).signingKey);
  const clock = testClock();
  const dangling = join(directory, 'audit-2026-04.jsonl');
  return {
    clock,
    signer,
    seesOtherCheckpoints: true,
    open: async (fallback) =>
      openAuditLog({
        segments: await openFileSegments({ directory, processes, clock }),
        signer,
        clock,
        origin,
        context,
        fallback,
      }),
    breakIt(isBroken) {
      clock.atMs = isBroken ? Date.UTC(2026, 3, 1) : clock.atMs;
      if (isBroken) symlinkSync('/nowhere/at/all', dangling);
      else rmSync(dangling);
    },
  };
});

/** Immutable objects in memory. */
function memoryObjects(): ObjectStore & { isBroken: boolean } {
  const objects = new Map<string, Buffer>();
  const store = {
    isBroken: false,
    place: 'memory:',
    async put(name: string, bytes: Uint8Array) {
      if (store.isBroken)
        throw new Failure('audit-unavailable', `audit log memory:${name}: denied`);
      if (objects.has(name)) return 'taken' as const;
      objects.set(name, Buffer.from(bytes));
      return 'written' as const;
    },
    get: async (name: string) => objects.get(name) ?? null,
    list: async (prefix: string, limit?: number) =>
      [...objects.keys()]
        .filter((name) => name.startsWith(prefix))
        .sort()
        .slice(0, limit),
    close: () => undefined,
  };
  return store;
}

auditLogContract('objects', async () => {
  const objects = memoryObjects();
  const signer = openSigningKey(generateSigningKey(origin).signingKey);
  const clock = testClock();
  return {
    clock,
    signer,
    seesOtherCheckpoints: false,
    open: async (fallback) =>
      openAuditLog({
        segments: openObjectSegments(objects),
        signer,
        clock,
        origin,
        context,
        fallback,
      }),
    breakIt(isBroken) {
      objects.isBroken = isBroken;
    },
  };
});
