#!/usr/bin/env node
// The entry point of the command line: opens the terminal, runs a command, and maps the result to
// an exit code. It never calls process.exit, so that no output is lost. `--version` is answered
// before anything else is loaded.

import { openClock } from './clock.ts';
import { version } from './version.ts';

if (['--version', '-V'].includes(process.argv[2] ?? '')) process.stdout.write(`${version}\n`);
else await main();

async function main(): Promise<void> {
  const [{ runProgram }, { openShell }] = await Promise.all([
    import('./cli/program.ts'),
    import('./cli/terminal.ts'),
  ]);
  try {
    process.exitCode = await runProgram(openShell(import.meta.dirname), async (shell) =>
      (await import('./serve.ts')).serve(shell),
    );
  } catch (error) {
    // A bug. Vendor errors never leave their adapters, so the message and the stack are ours.
    const stack = error instanceof Error ? error.stack : 'a value that is not an Error was thrown';
    process.stderr.write(`bug: ${stack}\n`);
    process.exitCode = 1;
  }
  await endHungCalls();
}

/**
 * Node does not end while an operation on a file is under way, not even with process.exit, and one
 * on a hung mount never ends. By now nothing else works on files.
 */
async function endHungCalls(): Promise<void> {
  const areUnderWay = (): boolean =>
    process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));
  if (!areUnderWay()) return;
  const clock = openClock();
  while (areUnderWay()) {
    if (clock.monotonicMs() > 5_000) {
      const { exitCode } = process;
      process.stderr.write(
        'A disk has not answered for 5 s. This process ends with SIGKILL, ' +
          `and not with exit code ${exitCode}.\n`,
      );
      process.kill(process.pid, 'SIGKILL');
    }
    await clock.sleep(50);
  }
}
