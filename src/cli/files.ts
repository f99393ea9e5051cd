// Files that a flag names: read as they are, or written once. Never overwrites.

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { UsageError } from '../config/errors.ts';
import { osErrorText } from '../rotation/failure.ts';
import type { Shell } from './terminal.ts';

/** The content of the file that `flag` names. Throws a UsageError. */
export function readGivenFile({ cwd }: Shell, flag: string, file: string): Buffer {
  try {
    return readFileSync(resolve(cwd, file));
  } catch (error) {
    throw new UsageError(`${flag} ${file}: ${osErrorText(error)}.`);
  }
}

/** Writes the file that `flag` names. Throws a UsageError, also when the file exists. */
export function writeNewFile({ cwd }: Shell, flag: string, file: string, text: string): void {
  try {
    writeFileSync(resolve(cwd, file), text, { flag: 'wx' });
  } catch (error) {
    throw new UsageError(`${flag} ${file}: ${osErrorText(error)}. No file is overwritten.`);
  }
}
