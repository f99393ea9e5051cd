// The folders that hold what must not be lost: the secrets and the audit log. Beside each one is a
// mark, written when the folder is first used. A marked folder that is missing or empty was deleted
// or is not mounted. That is an error, and the folder is never made again silently.
//
//   DATA/audit/         the folder
//   DATA/.audit.mark    its mark: outside, so that it stays when a disk is not mounted

import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { errnoOf, Failure, type Reason } from '../rotation/failure.ts';

/** The path of the folder's mark. */
export const markOf = (directory: string): string =>
  join(dirname(resolve(directory)), `.${basename(resolve(directory))}.mark`);

/** Marks a folder that is in use. Best effort: a folder without a mark is not protected. */
export async function markFolder(directory: string): Promise<void> {
  const mark = markOf(directory);
  if (await exists(mark)) return;
  const text =
    `thingspace-rotator uses the folder ${resolve(directory)}.\n` +
    'While this file exists, it is an error when that folder is missing or empty.\n';
  try {
    await mkdir(dirname(mark), { recursive: true, mode: 0o700 });
    await writeFile(mark, text, { mode: 0o644 });
  } catch {
    // The folder above may belong to somebody else.
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const isEmpty = (directory: string): Promise<boolean> =>
  readdir(directory).then(
    ({ length }) => length === 0,
    (error) => errnoOf(error) === 'ENOENT',
  );

/** Throws a failure with this reason when the folder was in use, and is missing or empty now. */
export async function refuseLost(directory: string, reason: Reason, subject = ''): Promise<void> {
  const mark = markOf(directory);
  if (!(await isEmpty(directory)) || !(await exists(mark))) return;
  const detail = `${subject}the folder ${directory} is missing or empty, and it was in use before`;
  throw new Failure(reason, detail, { cause: 'folder-missing', path: directory, mark });
}
