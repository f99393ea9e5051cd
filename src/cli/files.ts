// Files that a flag names.

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { explainErrors } from '../config/errors.ts';
import type { Shell } from './terminal.ts';

/** The content of the file that `flag` names. Throws a UsageError. */
export const readGivenFile = ({ cwd }: Shell, flag: string, file: string): Buffer =>
  explainErrors(`${flag} ${file}`, () => readFileSync(resolve(cwd, file)));

/** Writes the file that `flag` names. Throws a UsageError, also when the file exists. */
export function writeNewFile({ cwd }: Shell, flag: string, file: string, text: string): void {
  const write = (): void => writeFileSync(resolve(cwd, file), text, { flag: 'wx' });
  explainErrors(`${flag} ${file}`, write, ' No file is overwritten.');
}
