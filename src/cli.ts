#!/usr/bin/env node
// The command line's entry: gives the commands their shell, and maps what comes back to an exit code. It never
// calls process.exit, so that nothing written is lost; `--version` is answered before anything is loaded.

import { version } from './version.ts';

if (['--version', '-V'].includes(process.argv[2] ?? '')) process.stdout.write(`${version}\n`);
else await main();

async function main(): Promise<void> {
  const [{ runProgram }, shell] = await Promise.all([import('./cli/program.ts'), openShell()]);
  try {
    process.exitCode = await runProgram(shell);
  } catch (error) {
    // A bug. Its stack names our lines; its message is ours too, for vendor errors never leave their adapters.
    process.stderr.write(
      `bug: ${error instanceof Error ? error.stack : 'something that is no Error was thrown'}\n`,
    );
    process.exitCode = 1;
  }
}

async function openShell() {
  const [{ writeSync }, { userInfo }, { basename, join }] = await Promise.all([
    import('node:fs'),
    import('node:os'),
    import('node:path'),
  ]);
  const closed = new AbortController();
  // A reader that has left (`| head`) is no error of ours, and must not end a rotation.
  process.stdout.on('error', () => closed.abort());
  process.stderr.on('error', () => {});
  return {
    args: process.argv.slice(2),
    env: process.env,
    cwd: process.cwd(),
    pid: process.pid,
    program:
      basename(process.argv[1] ?? '') === 'cli.js'
        ? `node ${process.argv[1]}`
        : 'thingspace-rotator',
    user: currentUser(userInfo),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    outputClosed: closed.signal,
    writeLine: (line: string) => writeWhole(writeSync, `${line}\n`),
    onSignal,
    schema: join(import.meta.dirname, '..', 'docs', 'rotator.schema.json'),
  };
}

/** A container's user may have a number and no name. */
function currentUser(userInfo: () => { username: string; uid: number }): {
  name: string;
  uid?: string;
} {
  try {
    const { username, uid } = userInfo();
    return { name: username, uid: String(uid) };
  } catch {
    const uid = String(process.getuid?.() ?? 'unknown');
    return { name: `uid:${uid}`, uid };
  }
}

/** Synchronously, also into a full pipe; gives up where nobody reads. */
function writeWhole(
  writeSync: (fd: number, bytes: Uint8Array, offset: number) => number,
  text: string,
): void {
  const bytes = Buffer.from(text);
  const giveUpMs = Date.now() + 5_000;
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(2, bytes, offset);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || Date.now() > giveUpMs) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

function onSignal(handler: (signal: string) => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}
