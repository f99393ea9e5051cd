// audit bundle: everything that an auditor needs of one period, as one zip file.

import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { openAuditSource } from '../app.ts';
import { type BundleFiles, sha256Of, zipBundle } from '../audit/bundle-files.ts';
import { type AuditSource, blocksOf } from '../audit/reader.ts';
import { openClock } from '../clock.ts';
import { explainErrors, UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import type { BuiltReport } from '../report/build.ts';
import { verdictText } from '../report/text.ts';
import { createReport, type ReportFlags, reportFiles } from './report.ts';
import { printResult, type Shell } from './terminal.ts';

export async function auditBundle(shell: Shell, flags: ReportFlags): Promise<number> {
  const file = resolve(shell.cwd, flags.out);
  if (existsSync(file)) throw new UsageError(`--out ${file} exists. No file is overwritten.`);
  return createReport(shell, flags, async (built, config) => {
    const { report } = built;
    const zip = zipBundle(await filesOf(built, config));
    explainErrors(`--out ${file}`, () => writeFileSync(file, zip, { flag: 'wx' }));
    const sha256 = sha256Of(zip);
    const document = { file, sha256, report: report.id, log: report.integrity.state };
    printResult(shell, document, verdictText(report), `${sha256}  ${file}`);
  });
}

async function filesOf({ report, proofs }: BuiltReport, config: Config): Promise<BundleFiles> {
  const source = await openAuditSource(config, openClock());
  const files = new Map<string, string | Uint8Array>();
  for (const { file, text } of reportFiles(report)) files.set(file, text);
  for (const { file, text } of proofs) files.set(`proofs/${file}`, text);
  const { keys, newest } = report.integrity;
  files.set('keys/log.vkey', keys.map((key) => `${key}\n`).join(''));
  if (config.audit.witnesses.length > 0)
    files.set('keys/witnesses.vkey', config.audit.witnesses.map(({ key }) => `${key}\n`).join(''));
  // The log as far as the report was made from it: later records are not in its checkpoints.
  for (const stored of await source.checkpoints()) {
    const size = Number.parseInt(/(\d+)\.checkpoint/.exec(stored.name)?.[1] ?? '', 10);
    if (size <= (newest?.size ?? 0))
      files.set(`checkpoints/${stored.name.replace(/^.*\//, '')}`, await stored.read());
  }
  const frontier = await source.frontier();
  if (frontier) files.set(`log/${frontier.name}`, frontier.text);
  for (const [name, bytes] of await readSegments(source)) files.set(`log/${name}`, bytes);
  files.set('README.txt', readme(report.id, config.audit.witnesses.length > 0));
  return files;
}

/** The bytes of the log by file; the appends of a bucket are one file. */
async function readSegments(source: AuditSource): Promise<Map<string, Uint8Array>> {
  const parts = new Map<string, Buffer[]>();
  for await (const { segment, bytes, start, end } of blocksOf(source)) {
    const name = segment.month === undefined ? 'audit.jsonl' : segment.name;
    const part = Buffer.from(bytes.subarray(start, end));
    parts.set(name, [...(parts.get(name) ?? []), part]);
  }
  return new Map([...parts].map(([name, part]) => [name, Buffer.concat(part)]));
}

const readme = (id: string, hasWitnesses: boolean): string => `Evidence bundle of report ${id}

1. Verify it. You need Python 3.8 and openssl 3.0, and nothing else:

       python3 verify.py

2. Compare keys/log.vkey with the verifier key that you received in another way.${
  hasWitnesses
    ? '\n   Compare keys/witnesses.vkey with the keys that the owners of the witnesses name.'
    : ''
}

3. Read report.html. report.csv and report.json hold the same facts.

report.html, report.csv, report.json   the report
manifest.json                          the SHA-256 of each other file
log/                                   the records, one JSON object a line
checkpoints/                           signed numbers of records and their root hashes
keys/                                  verifier keys: name+id+base64
proofs/                                the proof of each record of the sample
verify.py                              checks all of this

Keep the newest checkpoint. A later log continues it, or it was changed.
`;
