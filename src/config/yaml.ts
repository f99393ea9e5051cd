// The configuration's YAML: its value, and where each key stands. Loaded only where there is a file. Must never put a value into
// a message.

import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { type Input, type Path, withoutNulls } from './environment.ts';
import { UsageError } from './errors.ts';

/**
 * The YAML (or JSON) in `text`; `file` names it in places. Throws a UsageError with line and column for what is not YAML and
 * for a key that is there twice. An empty value (`notify:`) is as if it were not there.
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
    // The library quotes what it stumbles over after a colon or in quotes; that may be a secret.
    throw new UsageError(
      document.errors.map(
        ({ message, pos }) =>
          `${at(pos[0])}: not valid YAML: ${message.replace(/[:"'(].*$/s, '').trim()}`,
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
    // What only shows here: an alias (*name) of an anchor that is not there, or too many of them.
    throw new UsageError(`${file}: not valid YAML: an alias (*) does not resolve`);
  }
}
