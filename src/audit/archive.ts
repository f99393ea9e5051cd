// Archives: complete months of the log as bundles, from which they can be restored, and the signed
// frontiers from which the log goes on without them. Reads only; the caller stores and deletes.

import { parseCheckpoint, type Signer } from './checkpoint.ts';
import {
  frontierFile,
  frontierFolder,
  frontierFormat,
  parseFrontier,
  signFrontier,
} from './frontier.ts';
import { addLine, emptyEnd, formatState, type LogEnd, readState } from './log-end.ts';
import { type AuditSource, blocksOf, eachLine, type Segment, type SignedText } from './reader.ts';
import { type RecordView, viewLine } from './record.ts';
import { damagedLog } from './segments.ts';

/** One month of the log. */
export type ArchivedMonth = {
  readonly month: string;
  /** The number of records up to its end. */
  readonly size: number;
  /** The frontier at its end, as it is stored in the folder of the log. */
  readonly frontier: SignedText;
  /** What its bundle holds; unzipped into the folder of the log, it restores the month. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
};

export type ArchiveOptions = {
  readonly source: AuditSource;
  /** The first month that is not archived, such as `2026-09`. */
  readonly before: string;
  readonly origin: string;
  readonly signer: Signer;
};

/** Each complete month before `before`, oldest first. Throws `audit-unavailable`. */
export async function* archivedMonths(
  options: ArchiveOptions,
): AsyncGenerator<ArchivedMonth, void, undefined> {
  const { source, before, origin, signer } = options;
  const start = await source.frontier();
  const frontier = start && parseFrontier(start.text);
  const end = (frontier && readState(frontier)) ?? emptyEnd();
  const carrier = createCarrier(frontier?.carried ?? []);
  const checkpoints = await source.checkpoints();
  let first: SignedText | null = start;
  for (const segment of await source.segments()) {
    const { month = before } = segment;
    if (month >= before) break;
    const from = end.tree.size;
    const bytes = await readMonth(segment, end, carrier.add);
    const { size } = end.tree;
    const state = formatState(end, frontierFormat, carrier.lines());
    const text = await signFrontier(origin, end.tree, state, [signer]);
    const next = { name: `${frontierFolder}/${frontierFile(size)}`, text };
    const files = new Map<string, string | Uint8Array>([[segment.name, bytes]]);
    for (const stored of checkpoints) {
      const note = await stored.read();
      const covered = parseCheckpoint(note)?.size ?? 0;
      if (covered > from && covered <= size) files.set(`checkpoints/${stored.name}`, note);
    }
    if (first) files.set(`${frontierFolder}/${frontierFile(from)}`, first.text);
    files.set(next.name, text);
    files.set('keys/log.vkey', `${signer.verifierKey}\n`);
    files.set('README.txt', readme(month, origin));
    yield { month, size, frontier: next, files };
    first = next;
  }
}

/** The bytes of a month, whose records are added to `end` and passed to `visit`. */
async function readMonth(
  segment: Segment,
  end: LogEnd,
  visit: (line: string) => void,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const block of blocksOf({ segments: async () => [segment] })) {
    const { bytes, start, end: stop } = block;
    parts.push(Buffer.from(bytes.subarray(start, stop)));
    eachLine(block, (line, from, to) => {
      if (!addLine(end, line.subarray(from, to)))
        throw damagedLog(segment.name, `the log is damaged at record ${end.tree.size}`);
      visit(line.toString('utf8', from, to));
    });
  }
  return Buffer.concat(parts);
}

/** Records of the newest state of an account, of which the newest of each code is carried. */
const stateCodes: ReadonlySet<string> = new Set([
  'inventory.changed',
  'inventory.summary',
  'policy.changed',
  'exemption.changed',
  'secret.changed',
  'account.stopped',
  'account.resumed',
]);

/** What is carried of one account, or of the fleet. */
type Carried = {
  /** By event code. */
  readonly newest: Map<string, string>;
  /** By rotation: the newest successful one, and those after it. */
  rotations: Map<string, string[]>;
};

/**
 * Selects the records that a reader needs after their months are archived: inventory, limits,
 * exemptions, and for each account the newest change of its password and what happened since.
 */
function createCarrier(carried: readonly string[]) {
  const accounts = new Map<string, Carried>();

  function addView({ code, account = '', rotationId, status }: RecordView, line: string): void {
    const own = accounts.get(account) ?? { newest: new Map(), rotations: new Map() };
    accounts.set(account, own);
    if (stateCodes.has(code)) own.newest.set(code, line);
    if (rotationId === undefined || account === '') return;
    const lines = [...(own.rotations.get(rotationId) ?? []), line];
    const isChange =
      (code === 'rotation.outcome' || code === 'rotation.reconciled') && status === 'success';
    if (isChange) own.rotations = new Map();
    own.rotations.set(rotationId, lines);
  }

  function add(line: string): void {
    const view = viewLine(line);
    if (view) addView(view, line);
  }

  for (const line of carried) add(line);
  return {
    add,
    /** In the order of the log. */
    lines: (): string[] => {
      const all = [...accounts.values()].flatMap(({ newest, rotations }) => [
        ...newest.values(),
        ...[...rotations.values()].flat(),
      ]);
      const sequenceOf = (line: string): number => viewLine(line)?.sequence ?? 0;
      return [...new Set(all)].sort((a, b) => sequenceOf(a) - sequenceOf(b));
    },
  };
}

const readme = (month: string, origin: string): string => `The audit log ${origin}, ${month}

Verify it, with Python 3.8 and openssl 3.0:

    python3 verify.py

Restore the month in the folder of the log:

    unzip -n audit-${month}.zip 'audit-*' 'checkpoints/*' 'frontiers/*' -d FOLDER

A month can be restored when the month after it is there.
`;
