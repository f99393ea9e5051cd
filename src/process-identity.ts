// Names for attempts, and whether the process behind a name still lives. A name is random; the
// process is evidence that lets the next start on the same machine look at once instead of waiting
// for a lease.

import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { ProcessIdentity } from './rotation/ports.ts';
import type { Holder } from './rotation/record.ts';

/**
 * The attempts of this process, whoever opened them: the only fact here that belongs to the process
 * as a whole.
 */
const active = new Set<string>();

/**
 * `pid` is this process's. Off Linux there is no evidence, so every other holder is `unknown` and
 * its lease decides.
 */
export function openProcessIdentity(pid: number): ProcessIdentity {
  const here = evidenceOf(pid);
  return {
    begin: () => {
      const holder: Holder = { id: randomUUID(), host: hostname(), ...here };
      active.add(holder.id);
      return holder;
    },
    end: (holder) => {
      active.delete(holder.id);
    },
    liveness: (holder) => {
      if (active.has(holder.id)) return 'alive';
      if (
        !here ||
        holder.boot !== here.boot ||
        holder.namespace !== here.namespace ||
        holder.pid === undefined
      )
        return 'unknown';
      if (holder.pid === here.pid && holder.startedAt === here.startedAt) return 'gone';
      return startOf(holder.pid) === holder.startedAt ? 'alive' : 'gone';
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
 * When a process started, in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)); null
 * when there is none, or only a zombie.
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
