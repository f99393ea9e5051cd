// serve: hands over to the long-running service.

import { UsageError } from '../usage.ts';
import type { CommonFlags, Shell } from './shell.ts';

export async function serveCommand(_shell: Shell, _flags: CommonFlags): Promise<number> {
  throw new UsageError('serve is not part of this build yet');
}
