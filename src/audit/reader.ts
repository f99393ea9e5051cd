// The log for readers: segments of bytes in log order, and checkpoints. A segment is a month file
// on one machine, or an object in S3. This file does not know which, and parses no JSON. A block is
// valid until the next one is requested.

/** Reads one segment. */
export type SegmentReader = {
  /**
   * Fills `into` from `at` with bytes from `position` on. Returns how many; 0 at the end. Throws
   * `audit-unavailable`.
   */
  read(into: Buffer, at: number, position: number): number | Promise<number>;
  close(): void | Promise<void>;
};

/**
 * Consecutive lines of the log, each ended by LF. The last line of the newest segment may be
 * incomplete.
 */
export type Segment = {
  /** For messages. */
  readonly name: string;
  /**
   * The UTC month (`2026-11`) of all its records, where that is known: readers can then skip it.
   */
  readonly month?: string | undefined;
  open(): SegmentReader | Promise<SegmentReader>;
};

/** A log to read. Throws `audit-unavailable`, naming what cannot be read. */
export type AuditSource = {
  /** In log order. */
  segments(): Promise<readonly Segment[]>;
  /** The signed notes, ascending by size; `name` is for messages. */
  checkpoints(): Promise<readonly StoredText[]>;
  /** The signed frontier (frontier.ts) from which the records go on; `null` for record 0. */
  frontier(): Promise<SignedText | null>;
};

export type SignedText = { readonly name: string; readonly text: string };

/** A text that is read when it is asked for: a log has thousands. */
export type StoredText = { readonly name: string; read(): Promise<string> };

/**
 * A block of memory with complete lines in `bytes[start, end)`. The byte before `start` may be
 * overwritten.
 */
export type LineBlock = {
  readonly segment: Segment;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** The position of `start` in the segment. */
  readonly position: number;
  /** On the last block of a segment: the bytes of an incomplete line after the last LF. */
  readonly incompleteBytes: number;
};

const blockBytes = 1 << 20;

/**
 * Every line of the log, in blocks of about 1 MiB that end at the end of a line. One buffer serves
 * all blocks. A line that is longer makes it grow, so the longest line bounds the memory.
 */
export async function* blocksOf(
  source: Pick<AuditSource, 'segments'>,
  options: {
    readonly skip?: ((segment: Segment) => boolean) | undefined;
    readonly from?: { segment: string; position: number } | undefined;
  } = {},
): AsyncGenerator<LineBlock, void, undefined> {
  let bytes: Buffer = Buffer.allocUnsafe(blockBytes + 1);
  let isBefore = options.from !== undefined;
  for (const segment of await source.segments()) {
    const isFirst = segment.name === options.from?.segment;
    if (isFirst) isBefore = false;
    if (isBefore || options.skip?.(segment)) continue;
    const reader = await segment.open();
    try {
      let position = isFirst ? (options.from?.position ?? 0) : 0;
      let held = 0;
      for (;;) {
        if (held + 1 === bytes.length) bytes = Buffer.concat([bytes], bytes.length * 2);
        const got = reader.read(bytes, 1 + held, position + held);
        const count = typeof got === 'number' ? got : await got;
        held += count;
        const last = held === 0 ? -1 : bytes.lastIndexOf(0x0a, held);
        const end = last < 1 ? 1 : last + 1;
        const rest = 1 + held - end;
        if (count === 0) {
          if (held > 0) yield { segment, bytes, start: 1, end, position, incompleteBytes: rest };
          break;
        }
        if (end === 1) continue;
        yield { segment, bytes, start: 1, end, position, incompleteBytes: 0 };
        bytes.copyWithin(1, end, 1 + held);
        position += end - 1;
        held = rest;
      }
    } finally {
      await reader.close();
    }
  }
}

/** Calls `visit` with the bounds of every line of a block, without its LF. */
export function eachLine(
  block: LineBlock,
  visit: (bytes: Buffer, start: number, end: number) => void,
): void {
  const { bytes, end } = block;
  let start = block.start;
  while (start < end) {
    const lineEnd = bytes.indexOf(0x0a, start);
    visit(bytes, start, lineEnd);
    start = lineEnd + 1;
  }
}

/**
 * Keys that are found in the bytes of a line without parsing it. A quote inside a text is escaped,
 * so these bytes cannot occur in one. In RFC 8785 order `logged_time` comes before `sequence`; both
 * are in `metadata`.
 */
export const recordKeys = {
  loggedTime: Buffer.from('"logged_time":'),
  sequence: Buffer.from('"sequence":'),
  sealedSize: Buffer.from('"sealed_size":'),
};

/** The decimal number at `at`; -1 when there is none, or when it has more than 15 digits. */
export function numberAt(bytes: Buffer, at: number): number {
  let [value, index] = [0, at];
  for (; index < at + 16; index += 1) {
    const digit = (bytes[index] ?? 0) - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return index === at || index === at + 16 ? -1 : value;
}

/** The number after `key` in a line; -1 when there is none. */
export function numberAfter(line: Buffer, key: Buffer): number {
  const at = line.indexOf(key);
  return at < 0 ? -1 : numberAt(line, at + key.length);
}
