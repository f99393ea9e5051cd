// The YAML of the configuration: its value, and the line and column of each key. Loaded only where
// there is a file. A message must never contain a value.

import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { type Input, type Path, withoutNulls } from './environment.ts';
import { UsageError } from './errors.ts';

/**
 * The YAML (or JSON) in `text`; `file` names it in messages. Throws a UsageError with line and
 * column for invalid YAML and for a duplicate key. An empty value (`notify:`) means the same as a
 * missing key.
 */
export function readYaml(text: string, file: string): Input {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    uniqueKeys: true,
    version: '1.2',
    logLevel: 'error',
  });
  const at = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    // The library quotes the text after a colon or in quotes; that can be a secret.
    throw new UsageError(
      document.errors.map(
        ({ message, pos }) =>
          `${at(pos[0])}: This is not valid YAML: ${message.replace(/[:"'(].*$/s, '').trim()}.`,
      ),
    );
  }
  const placeOf = (path: Path): string => {
    let [node, offset]: [unknown, number] = [document.contents, 0];
    for (const step of path) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && key.value === step);
        if (!pair) break;
        offset = (pair.key as { range?: [number] }).range?.[0] ?? offset;
        node = pair.value;
      } else if (isSeq(node) && typeof step === 'number' && node.items[step] !== undefined) {
        node = node.items[step];
        offset = (node as { range?: [number] }).range?.[0] ?? offset;
      } else break;
    }
    return at(offset);
  };
  try {
    return { value: withoutNulls(document.toJS({ maxAliasCount: 100 })), placeOf };
  } catch {
    // Only now: an alias (*name) of an anchor that does not exist, or too many aliases.
    throw new UsageError(`${file}: This is not valid YAML: an alias (*) does not resolve.`);
  }
}
