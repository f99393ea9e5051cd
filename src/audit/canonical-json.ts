// Records in a newer OCSF: 1.9.0 (August 2026) moves account changes to class 3007 *User Management* and adds the profile
// `record_integrity`. What is stored stays as it is; this is made for an export, and says which stored record it came from.

import { createHash } from 'node:crypto';
import { base64Of, leafHash } from './merkle.ts';
import type { FoundRecord } from './query.ts';
import { parseLine } from './record-view.ts';

/** `value` as RFC 8785 writes it; only for what records hold. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = value as Record<string, unknown>;
  const keys = Object.keys(fields)
    .filter((key) => fields[key] !== undefined)
    .sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(fields[key])}`).join(',')}}`;
}

/** 3001 → 3007: *Password Change* is activity 8 there; *Other* stays 99. */
const activities: Readonly<Record<number, number>> = { 3: 8, 99: 99 };

/**
 * The record as one line of OCSF 1.9.0, class 3007. `attestation.fingerprint` is the SHA-256 of the RFC 8785 form of all the rest,
 * as the profile says; `unmapped.leaf_hash` is what the stored record is in the Merkle tree, and so what a proof file vouches for.
 */
export function ocsf19Of({ line }: Pick<FoundRecord, 'line'>): string {
  const stored = parseLine(line) ?? {};
  const metadata = stored['metadata'] as Record<string, unknown>;
  const activity = activities[stored['activity_id'] as number] ?? 99;
  const profiles = [...((metadata['profiles'] as string[] | undefined) ?? []), 'record_integrity'];
  const attestation = {
    authority_uid: metadata['log_name'],
    chain_uid: metadata['log_name'],
    uid: metadata['uid'],
  };
  const record = {
    ...stored,
    activity_id: activity,
    class_uid: 3007,
    type_uid: 300_700 + activity,
    metadata: { ...metadata, profiles, version: '1.9.0' },
    unmapped: {
      ...(stored['unmapped'] as object | undefined),
      leaf_hash: base64Of(leafHash(Buffer.from(line))),
    },
    attestation,
  };
  const value = createHash('sha256').update(canonicalJson(record)).digest('hex');
  const fingerprint = { algorithm: 'SHA-256', algorithm_id: 3, value };
  return canonicalJson({ ...record, attestation: { ...attestation, fingerprint } });
}
