// Where readers get the log from: segments of raw bytes in order, and checkpoints. Month files are segments on one machine,
// immutable objects of one run each on S3. Nothing here knows which, and nothing here parses JSON.

/** Reads one segment. */
export type SegmentReader = {
  /** Fills `into` from `at` with the segment's bytes from `position` on; how many came, 0 at its end. Throws `audit-unavailable`. */
  read(into: Buffer, at: number, position: number): number | Promise<number>;
  close(): void;
};

/** A stretch of the log: whole lines, each ended by LF, except that the newest segment may end in a half-written one. */
export type Segment = {
  /** For messages, and where it can tell, the UTC month (`2026-11`) of its records, which lets readers pass it over. */
  readonly name: string;
  readonly month?: string;
  open(): SegmentReader | Promise<SegmentReader>;
};

/** A log to read. Throws `audit-unavailable`, naming what cannot be read. */
export type AuditSource = {
  /** In log order. */
  segments(): Promise<readonly Segment[]>;
  /** The signed notes, ascending by size; `name` is for messages. */
  checkpoints(): Promise<readonly { readonly name: string; readonly text: string }[]>;
};

/** A block of memory with whole lines in `bytes[start, end)`; the byte before `start` may be overwritten. */
export type LineBlock = {
  readonly segment: Segment;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** Where `start` lies in the segment. */
  readonly position: number;
  /** Bytes after the last LF at the segment's end; 0 but for a half-written line. Only on a segment's last block. */
  readonly tail: number;
};

const blockBytes = 1 << 20;

/**
 * Every line of the log in blocks of about 1 MiB that end at a line's end, one buffer used over and over: a block is valid until
 * the next is asked for. A line longer than the block makes it grow, so memory is bounded by the longest line.
 */
export async function* blocksOf(
  source: Pick<AuditSource, 'segments'>,
  options: {
    readonly skip?: (segment: Segment) => boolean;
    readonly from?: { segment: string; position: number };
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
        const tail = 1 + held - end;
        if (count === 0) {
          if (held > 0) yield { segment, bytes, start: 1, end, position, tail };
          break;
        }
        if (end === 1) continue;
        yield { segment, bytes, start: 1, end, position, tail: 0 };
        bytes.copyWithin(1, end, 1 + held);
        position += end - 1;
        held = tail;
      }
    } finally {
      reader.close();
    }
  }
}

/** Calls `visit` with the bounds of every line (without its LF) of a block. */
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
