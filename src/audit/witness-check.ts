// What the witnesses say about a log, for its verification: the cosignatures that are kept with the
// newest checkpoint, and what each witness answers to that checkpoint now.

import { type Checkpoint, newestCheckpoint } from './checkpoint.ts';
import { type Cosignature, cosignatureOf } from './cosignature.ts';
import { type CosigningResult, cosign, type WitnessClient } from './cosigning.ts';
import type { Findings } from './findings.ts';
import { consistencyOf } from './proof.ts';
import type { AuditSource } from './reader.ts';

export type WitnessPolicy = {
  readonly clients: readonly WitnessClient[];
  /** How many must have cosigned the newest checkpoint; without it none is asked. */
  readonly required?: number | undefined;
};

/** The cosignatures of the newest checkpoint. Throws `audit-unavailable`. */
export async function checkWitnesses(
  source: AuditSource,
  newest: Checkpoint | null,
  { clients, required }: WitnessPolicy,
  findings: Findings,
): Promise<readonly Cosignature[]> {
  const found = new Map<string, Cosignature>();
  for (const { verifier } of newest ? clients : []) {
    const cosignature = newest && cosignatureOf(newest.note, verifier);
    if (cosignature === 'invalid')
      findings.add('signature', `the cosignature of ${verifier.name} is invalid`, verifier.name);
    else if (cosignature) found.set(verifier.verifierKey, cosignature);
  }
  if (required === undefined) return [...found.values()];
  const missing: string[] = [];
  for (const client of clients) {
    const { name, verifierKey } = client.verifier;
    const known = found.has(verifierKey) ? newest?.size : 0;
    const answer = newest && (await ask(source, client, newest, known ?? 0, findings));
    if (answer?.result === 'cosigned') found.set(verifierKey, answer.cosignature);
    else if (!found.has(verifierKey))
      missing.push(answer && 'detail' in answer ? `${name} (${answer.detail})` : name);
  }
  if (found.size < required) {
    const size = newest?.size ?? 0;
    const message =
      `${found.size} of ${required} required witnesses cosigned the newest checkpoint, of ` +
      `${size} records; missing: ${missing.join(', ')}`;
    findings.add('witness', message, size);
  }
  return [...found.values()];
}

/** Shows the newest checkpoint to a witness, which remembers what it has seen of this log. */
async function ask(
  source: AuditSource,
  client: WitnessClient,
  newest: Checkpoint,
  known: number,
  findings: Findings,
): Promise<CosigningResult> {
  const { name } = client.verifier;
  const proveFrom = (older: number): ReturnType<typeof consistencyOf> =>
    consistencyOf(source, older, newest.size);
  const answer = await cosign(client, newest, known, proveFrom);
  if (answer.result === 'conflict')
    findings.add('witness-conflict', `witness ${name}: ${answer.detail}`, name);
  if (answer.result !== 'behind') return answer;
  // The log may have grown since it was read.
  const last = await newestCheckpoint(source);
  if ((last?.size ?? 0) < answer.size)
    findings.add(
      'witness-conflict',
      `witness ${name} has seen ${answer.size} records, and the newest checkpoint covers ` +
        `${newest.size}: the log was shortened, or this is an older copy`,
      name,
    );
  return answer;
}
