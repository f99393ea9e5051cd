// serve: hands over to the long-running service, which nothing else needs to load.

import type { CommonFlags, Shell } from './shell.ts';

export async function serveCommand(shell: Shell, flags: CommonFlags): Promise<number> {
  const { serve } = await import('../serve.ts');
  return serve(shell, flags);
}
