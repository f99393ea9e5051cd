// Names for attempts, and whether the process of a name is still running. A name is random. The
// process is evidence: after a crash, the next start on the same machine need not wait for the
// lease.

import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { ProcessIdentity } from './rotation/ports.ts';
import type { Owner } from './rotation/record.ts';

/** The attempts of this process. The only state here that all instances share. */
const active = new Set<string>();

/**
 * `pid` is this process's. Off Linux there is no evidence, so every other owner is `unknown` and
 * its lease decides.
 */
export function openProcessIdentity(pid: number): ProcessIdentity {
  const here = evidenceOf(pid);
  return {
    begin: () => {
      const owner: Owner = { id: randomUUID(), host: hostname(), ...here };
      active.add(owner.id);
      return owner;
    },
    end: (owner) => {
      active.delete(owner.id);
    },
    liveness: (owner) => {
      if (active.has(owner.id)) return 'alive';
      if (
        !here ||
        owner.boot !== here.boot ||
        owner.namespace !== here.namespace ||
        owner.pid === undefined
      )
        return 'unknown';
      if (owner.pid === here.pid && owner.startedAt === here.startedAt) return 'gone';
      return startOf(owner.pid) === owner.startedAt ? 'alive' : 'gone';
    },
    rotationId: () => randomUUID(),
  };
}

type Evidence = {
  readonly boot: string;
  readonly namespace: string;
  readonly pid: number;
  readonly startedAt: string;
};

function evidenceOf(pid: number): Evidence | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const namespace = readlinkSync('/proc/self/ns/pid');
    const startedAt = startOf(pid);
    return startedAt === null ? null : { boot, namespace, pid, startedAt };
  } catch {
    return null;
  }
}

/**
 * When a process started, in units of 1/_SC_CLK_TCK s since boot (field 22 of /proc/PID/stat,
 * proc(5)); null when there is none, or only a zombie.
 */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may hold spaces; the third is the state.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}
