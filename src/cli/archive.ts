// audit archive: complete months of the log as bundles in another folder. The bundles are written
// and verified first; the months are removed from the log only with --delete.

import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openSigner, openVerifiers } from '../app.ts';
import { type ArchivedMonth, archivedMonths } from '../audit/archive.ts';
import { isBundleOf, sha256Of, zipBundle } from '../audit/bundle-files.ts';
import { syncFolder } from '../audit/disk.ts';
import { removeMonths, storeFrontier } from '../audit/file-segments.ts';
import { verifyLog } from '../audit/verify.ts';
import { UsageError } from '../config/errors.ts';
import { osErrorText } from '../rotation/failure.ts';
import { isoDay, parseWhen } from '../time.ts';
import { type Session, withSession } from './context.ts';
import { printResult, type Shell, tell } from './terminal.ts';

type ArchiveFlags = { before: string; out: string; delete?: boolean };

/** The newest months that stay at hand: PCI DSS 10.5.1 asks for three. */
const keptMonths = 3;

/** A bundle that was written and verified. */
type Bundle = Pick<ArchivedMonth, 'month' | 'size'> & {
  readonly file: string;
  readonly sha256: string;
};

export async function auditArchive(shell: Shell, flags: ArchiveFlags): Promise<number> {
  const folder = resolve(shell.cwd, flags.out);
  return withSession(shell, async (session) => {
    const { config, rotator, clock } = session;
    if (config.audit.s3 !== undefined)
      throw new UsageError(
        'audit archive is for audit.directory. The bucket of audit.s3 keeps every record, and ' +
          'Object Lock protects it.',
      );
    checkMonth(flags.before, clock.nowMs());
    const { directory } = config.audit;
    // Everything that is archived is signed.
    await rotator.audit.checkpoint();
    const verifiers = await openVerifiers(config, clock);
    const { state } = await verifyLog(rotator.audit.source, { verifiers });
    if (state === 'altered') {
      tell(shell, 'The audit log is altered, and nothing is archived. `audit verify` says where.');
      return 4;
    }
    const bundles = await writeBundles(session, flags.before, folder);
    await record(session, 'written', bundles);
    if (flags.delete && bundles.length > 0) {
      await record(session, 'removed', bundles);
      const months = bundles.map(({ month }) => month);
      await removeMonths(directory, clock, months, bundles.at(-1)?.size ?? 0);
    }
    report(shell, flags, bundles);
    return 0;
  });
}

function checkMonth(before: string, nowMs: number): void {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(before))
    throw new UsageError('--before takes a month, such as 2026-03.');
  const oldestMs = parseWhen(`${keptMonths - 1} months ago`, nowMs) ?? nowMs;
  const oldestKept = isoDay(oldestMs).slice(0, 7);
  if (before > oldestKept)
    throw new UsageError(
      `--before takes ${oldestKept} or an earlier month. The ${keptMonths} newest months stay in ` +
        'the log.',
    );
}

async function writeBundles(session: Session, before: string, folder: string): Promise<Bundle[]> {
  const { config, rotator, clock } = session;
  const { source } = rotator.audit;
  const signer = await openSigner(config, clock);
  const newest = (await source.segments()).at(-1)?.month ?? before;
  const options = {
    source,
    // The writer goes on in the newest month, however old it is.
    before: newest < before ? newest : before,
    origin: config.audit.origin ?? signer.name,
    signer,
  };
  const bundles: Bundle[] = [];
  for await (const { month, size, frontier, files } of archivedMonths(options)) {
    const file = join(folder, `audit-${month}.zip`);
    const zip = await storeBundle(folder, file, files);
    await storeFrontier(config.audit.directory, clock, size, frontier.text);
    bundles.push({ month, size, file, sha256: sha256Of(zip) });
  }
  return bundles;
}

/** Writes the bundle, or takes the one that is there, and verifies it. Returns its bytes. */
async function storeBundle(folder: string, file: string, files: ArchivedMonth['files']) {
  try {
    await mkdir(folder, { recursive: true });
    if (!existsSync(file)) {
      await writeFile(`${file}.new`, zipBundle(files), { mode: 0o640, flush: true });
      await rename(`${file}.new`, file);
      await syncFolder(folder);
    }
    const stored = await readFile(file);
    if (isBundleOf(stored, files)) return stored;
  } catch (error) {
    throw new UsageError(`--out ${file}: ${osErrorText(error)}.`);
  }
  throw new UsageError(
    `--out ${file}: the file exists and is another bundle than this month makes. No file is ` +
      'overwritten.',
  );
}

async function record(
  { rotator: { audit }, trigger }: Session,
  change: 'written' | 'removed',
  bundles: readonly Bundle[],
): Promise<void> {
  const common = { code: 'log.archived', change, trigger: trigger('manual') } as const;
  const events = bundles.map(({ month, size, sha256 }) => ({ ...common, month, size, sha256 }));
  await audit.append(events);
  await audit.checkpoint();
}

function report(shell: Shell, flags: ArchiveFlags, bundles: readonly Bundle[]): void {
  const lines = bundles.map(({ file, sha256 }) => `${sha256}  ${file}`);
  printResult(shell, { bundles, removed: flags.delete === true }, ...lines);
  if (shell.flags.json || shell.flags.quiet) return;
  if (bundles.length === 0) tell(shell, `The log has no complete month before ${flags.before}.`);
  else if (flags.delete)
    tell(shell, 'The months were removed from the log. Keep the bundles for at least a year.');
  else tell(shell, 'The months are still in the log. --delete removes them.');
}
