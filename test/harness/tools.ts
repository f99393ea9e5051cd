// Programs and rights that some tests need. Where one is missing, the test is skipped and its title
// says why; in CI it is a failure.

import { spawnSync } from 'node:child_process';

export const chromiumPath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

/** A call that succeeds where the tool can be used. */
const probes = {
  age: ['age', '--version'],
  chromium: ['test', '-x', chromiumPath],
  faketime: ['faketime', '--version'],
  git: ['git', '--version'],
  // A mount in a namespace of the probe: it ends with the probe.
  mount: ['unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'],
  openssl: ['openssl', 'version'],
  procfs: ['test', '-r', '/proc/self/wchan'],
  promtool: ['promtool', '--version'],
  python3: ['python3', '--version'],
  script: ['script', '--version'],
  // That it may trace is part of what is needed.
  strace: ['strace', '-qq', '-e', 'trace=none', 'true'],
  'systemd-analyze': ['systemd-analyze', '--version'],
  'systemd-notify': ['systemd-notify', '--version'],
} as const;

export type Tool = keyof typeof probes;

const found = new Map<Tool, boolean>();

export function hasTool(tool: Tool): boolean {
  const known = found.get(tool);
  if (known !== undefined) return known;
  const [command, ...args] = probes[tool];
  const isThere = spawnSync(command, args, { stdio: 'ignore' }).status === 0;
  found.set(tool, isThere);
  return isThere;
}

/** `test` for what needs these tools. */
export function testWith(...tools: readonly Tool[]): typeof test {
  const missing = tools.filter((tool) => !hasTool(tool)).join(', ');
  if (missing === '') return test;
  if (process.env['CI']) throw new Error(`missing, or not permitted here: ${missing}`);
  const note = (title: string): string => `${title} (skipped: no ${missing})`;
  const skip = (title: string, run: jest.ProvidesCallback): void => test.skip(note(title), run);
  const each =
    (...table: unknown[]) =>
    (title: string, run: jest.ProvidesCallback): void =>
      Reflect.apply(test.skip.each, null, table)(note(title), run);
  return Object.assign(skip, { each }) as unknown as typeof test;
}
