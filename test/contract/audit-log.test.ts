import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { generateSigningKey, openSigningKey } from '../../src/audit/checkpoint.ts';
import { openAuditLog } from '../../src/audit/log.ts';
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
    open: (secondSink) =>
      openAuditLog({
        directory,
        signer,
        clock,
        processes,
        origin,
        context,
        ...(secondSink ? { secondSink } : {}),
      }),
    breakIt(isBroken) {
      clock.atMs = isBroken ? Date.UTC(2026, 3, 1) : clock.atMs;
      if (isBroken) symlinkSync('/nowhere/at/all', dangling);
      else rmSync(dangling);
    },
  };
});
