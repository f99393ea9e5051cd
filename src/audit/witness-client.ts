// A witness over HTTP: POST URL/add-checkpoint.

import { parseWitnessKey } from './checkpoint.ts';
import type { WitnessClient } from './cosigning.ts';

/** The limit for each request. */
const timeoutMs = 5_000;
/** A response is a size or some signature lines. */
const maxBytes = 16_384;

/** Contacts nothing yet. Throws an Error when `key` is no witness key. */
export function openWitnessClient({ url, key }: { url: string; key: string }): WitnessClient {
  return {
    verifier: parseWitnessKey(key),
    async send(body) {
      try {
        const response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, {
          method: 'POST',
          headers: { 'content-type': 'text/plain; charset=utf-8' },
          body,
          redirect: 'error',
          signal: AbortSignal.timeout(timeoutMs),
        });
        const text = await response.text();
        return { status: response.status, body: text.slice(0, maxBytes) };
      } catch {
        return null;
      }
    },
  };
}
