// A bundle: one zip file that an outsider checks with Python and openssl. Every bundle has
// manifest.json (the SHA-256 of each other file) and verify.py.

import { createHash } from 'node:crypto';
import { strToU8, unzipSync, type Zippable, zipSync } from 'fflate';
import { verifyScript } from './verify-script.ts';

/** Texts or bytes by name; a name has `/` between folders. */
export type BundleFiles = ReadonlyMap<string, string | Uint8Array>;

/**
 * The date of every file in a bundle, so that the same files make the same bundle: the third day
 * that the format can express, because it has no time zone.
 */
const modifiedMs = 315_705_600_000;

export const sha256Of = (bytes: string | Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

/** The bytes of the zip file. */
export function zipBundle(files: BundleFiles): Uint8Array {
  const all = new Map([...files, ['verify.py', verifyScript] as const]);
  const names = [...all.keys()].sort();
  const sha256 = Object.fromEntries(names.map((name) => [name, sha256Of(all.get(name) ?? '')]));
  all.set('manifest.json', `${JSON.stringify({ sha256 }, null, 2)}\n`);
  const entries: Zippable = {};
  for (const [name, content] of all)
    entries[name] = typeof content === 'string' ? strToU8(content) : content;
  return zipSync(entries, { mtime: modifiedMs, level: 6 });
}

/** Whether the zip file holds exactly this content under each of these names. Never throws. */
export function isBundleOf(zip: Uint8Array, files: BundleFiles): boolean {
  try {
    const stored = unzipSync(zip);
    return [...files].every(([name, content]) => {
      const bytes = stored[name];
      return bytes !== undefined && sha256Of(bytes) === sha256Of(content);
    });
  } catch {
    return false;
  }
}
