// audit report: three files of one period.

import { UsageError } from '../usage.ts';
import type { CommonFlags, Shell } from './shell.ts';

export async function auditReport(_shell: Shell, _flags: CommonFlags): Promise<number> {
  throw new UsageError('audit report is not part of this build yet');
}
