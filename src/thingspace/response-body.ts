// Reads the new password out of the body of a reset response. That body is the only copy of the
// password. So every content encoding and charset that a proxy may have applied is tried, although
// the request asked for none. There are no headers here, because a receipt holds only the bytes.
// Nothing here throws or puts bytes into a message.
//
// Callers must keep the bytes: null means "not readable here", never "holds no password". What is
// ambiguous is not read:
//   - an object that has the key twice, or text after the object that names the key again;
//   - bytes that are not UTF-8 and that Latin-1 and Windows-1252 read differently, or that may be
//     damaged UTF-8.

import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateRawSync,
  inflateSync,
} from 'node:zlib';
import { Secret } from '../secret.ts';
import { parseObject } from './error-body.ts';
import { bodyLimitBytes } from './http.ts';

const field = 'newPassword';

/**
 * The string of at least one character in `newPassword`, on the top level of the first JSON object;
 * else null.
 */
export function readNewPassword(body: Secret<Uint8Array>): Secret | null {
  for (const bytes of decompress(body.reveal())) {
    for (const text of firstObjects(bytes)) {
      const password = parseObject(text)?.[field];
      if (typeof password === 'string' && password !== '') return new Secret(password);
    }
  }
  return null;
}

/** Whether the name of the field occurs, in any content encoding, in any charset here. */
export function mentionsNewPassword(body: Secret<Uint8Array>): boolean {
  // Without its last zero byte, the UTF-16LE form is also a part of the UTF-16BE form.
  const utf16 = Buffer.from(field, 'utf16le').subarray(0, -1);
  for (const bytes of decompress(body.reveal()))
    if (bytes.includes(field) || bytes.includes(utf16)) return true;
  return false;
}

/**
 * The bytes as they are, then as each content encoding gives them; a body that was cut gives what
 * can be decoded.
 */
function* decompress(body: Uint8Array): Iterable<Buffer> {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const maxOutputLength = bodyLimitBytes;
  const inflate = { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH };
  const brotli = { maxOutputLength, finishFlush: constants.BROTLI_OPERATION_FLUSH };
  yield bytes;
  for (const decoder of [
    () => gunzipSync(bytes, inflate),
    // Node rejects other bytes after a gzip member. Behind the usual header of ten bytes it is raw
    // deflate, which has an end.
    () =>
      inflateRawSync(
        bytes.toString('hex', 0, 4) === '1f8b0800' ? bytes.subarray(10) : bytes,
        inflate,
      ),
    () => inflateSync(bytes, inflate),
    () => brotliDecompressSync(bytes, brotli),
  ]) {
    try {
      yield decoder();
    } catch {
      // Another encoding, or more than `bodyLimitBytes`.
    }
  }
}

/** The first JSON object in the bytes, as UTF-8 or Latin-1, UTF-16LE and UTF-16BE text. */
function firstObjects(bytes: Buffer): string[] {
  const even = bytes.subarray(0, bytes.length & ~1);
  const texts = [
    decodeSingleBytes(firstObject(bytes.toString('latin1').replace(/^\xef\xbb\xbf/, ''))),
    firstObject(even.toString('utf16le').replace(/^\ufeff/, '')),
    firstObject(
      Buffer.from(even)
        .swap16()
        .toString('utf16le')
        .replace(/^\ufeff/, ''),
    ),
  ];
  return texts.filter((text) => text !== null);
}

/**
 * UTF-8 (RFC 8259), else Latin-1. One character of `text` is one byte. Bytes that Windows-1252
 * reads differently, or that may be a part of UTF-8, are not read as Latin-1: a wrong
 * password would be worse than none.
 */
function decodeSingleBytes(text: string | null): string | null {
  if (text === null) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'latin1'));
  } catch {
    return /[\x80-\x9f]|[\xc2-\xf4][\xa0-\xbf]/.test(text) ? null : text;
  }
}

/**
 * The JSON object that the text begins with, when it names the field exactly once and the rest does
 * not name it.
 */
function firstObject(text: string): string | null {
  if (!/^[\t\n\r ]*\{/.test(text)) return null;
  let depth = 0;
  let names = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') depth -= 1;
    else if (char === '"') {
      const end = endOfString(text, at);
      if (depth === 1 && isFieldName(text, at, end)) names += 1;
      at = end;
    }
    if (depth === 0 && char === '}')
      return names === 1 && !text.includes(field, at) ? text.slice(0, at + 1) : null;
  }
  return null;
}

/**
 * The index of the quote that ends the JSON string which begins at `start`; the end of the text
 * when there is none.
 */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

/**
 * Whether the JSON string from `start` to `end` is the key `newPassword`, in whatever way it is
 * escaped.
 */
function isFieldName(text: string, start: number, end: number): boolean {
  const colon = /[\t\n\r ]*:/y;
  colon.lastIndex = end + 1;
  return (
    colon.test(text) && parseObject(`{"key":${text.slice(start, end + 1)}}`)?.['key'] === field
  );
}
