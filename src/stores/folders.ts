// The folders that hold what must not be lost: the secrets and the audit log. Beside each one is a
// mark, written when the folder is first used. A marked folder that is missing or empty was deleted
// or is not mounted. That is an error, and the folder is never made again silently.
//
//   DATA/audit/         the folder
//   DATA/.audit.mark    its mark: outside, so that it stays when a disk is not mounted

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errnoOf, Failure, type Reason } from '../rotation/failure.ts';

/** The path of the folder's mark. */
export const markOf = (directory: string): string =>
  join(dirname(resolve(directory)), `.${basename(resolve(directory))}.mark`);

/** Marks a folder that is in use. Best effort: a folder without a mark is not protected. */
export function markFolder(directory: string): void {
  const mark = markOf(directory);
  if (existsSync(mark)) return;
  const text =
    `thingspace-rotator uses the folder ${resolve(directory)}.\n` +
    'While this file exists, it is an error when that folder is missing or empty.\n';
  try {
    mkdirSync(dirname(mark), { recursive: true, mode: 0o700 });
    writeFileSync(mark, text, { mode: 0o644 });
  } catch {
    // The folder above may belong to somebody else.
  }
}

const isLost = (directory: string): boolean => isEmpty(directory) && existsSync(markOf(directory));

function isEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}

/** Throws a failure with this reason when the folder was in use, and is missing or empty now. */
export function refuseLost(directory: string, reason: Reason, subject = ''): void {
  if (!isLost(directory)) return;
  const detail = `${subject}the folder ${directory} is missing or empty, and it was in use before`;
  const facts = { cause: 'folder-missing', path: directory, mark: markOf(directory) } as const;
  throw new Failure(reason, detail, facts);
}
