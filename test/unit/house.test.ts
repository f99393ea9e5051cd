// The house rules that no linter knows, checked on the sources as text: layers, size, width, words.
// docs/ARCHITECTURE.md has the table of layers and the map of folders; these tests read both.
// No rule has an exception for a file.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const architecture = read('docs/ARCHITECTURE.md');

/** Files below a folder, as paths from the root of the repository. */
const filesUnder = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => posix.relative(root, posix.join(entry.parentPath, entry.name)))
    .sort();
const sources = ['src', 'test', 'bench', 'scripts']
  .flatMap(filesUnder)
  .filter((path) => /\.(ts|tsx|mjs|cjs)$/.test(path));
const documents = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...[...filesUnder('docs'), ...filesUnder('test')].filter((path) => path.endsWith('.md')),
];

/** The room of a file of src/: its folder, or the file itself at the root. */
const roomOf = (path: string): string =>
  (path.split('/')[1] ?? '') + (path.split('/')[2] ? '/' : '');

/** Each room's layer, from the rows `| 3 | \`aws/\` \`report/\` | … |` of the table of layers. */
function layers(): Map<string, number> {
  const rows = architecture.matchAll(/^\| (\d+) \| ([^|]+) \|/gm);
  return new Map(
    [...rows].flatMap(([, layer, rooms = '']) =>
      [...rooms.matchAll(/`([^`]+)`/g)].map(([, room = '']) => [room, Number(layer)] as const),
    ),
  );
}

test('a room imports rooms of a lower layer only, so that there is no cycle', () => {
  const layerOf = layers();
  const broken: string[] = [];
  for (const path of sources.filter((source) => source.startsWith('src/'))) {
    const from = roomOf(path);
    const imports = read(path).matchAll(/(?:from|import)\s*(\(?)\s*'(\.[^']+)'/g);
    for (const [, lazy = '', imported = ''] of imports) {
      const target = posix.join(dirname(path), imported);
      const to = roomOf(target);
      const [layer = -1, lower = 99] = [layerOf.get(from), layerOf.get(to)];
      // An entry point may load another one lazily: `cli.ts` loads `serve.ts` for `serve`.
      const isEntryPoint = layer === lower && layer === Math.max(...layerOf.values());
      if (from === to || lower < layer || (isEntryPoint && lazy !== '')) continue;
      broken.push(`${path} imports ${target}`);
    }
  }

  expect(broken).toEqual([]);
});

test('the table of layers names every room of src/ and nothing else', () => {
  const rooms = new Set(filesUnder('src').map(roomOf));

  expect([...layers().keys()].sort()).toEqual([...rooms].sort());
});

test('at most eleven files are at the root of src/', () => {
  const files = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((e) => e.isFile());

  expect(files.length).toBeLessThanOrEqual(11);
});

test('the map of the repository names every folder, and no folder that does not exist', () => {
  const ignored = read('.gitignore').split('\n').filter(Boolean);
  const isIgnored = (name: string): boolean =>
    ['.git', ...ignored.map((line) => line.replaceAll('/', ''))].includes(name);
  const foldersIn = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !isIgnored(entry.name))
      .flatMap(({ name }) => {
        const path = posix.join(folder, name);
        // A fixture is as the program wrote it, and is named as one.
        return path === 'test/fixtures' ? [`${path}/`] : [`${path}/`, ...foldersIn(path)];
      });
  const map = /## The map\n[\s\S]*?```\n([\s\S]*?)```/.exec(architecture)?.[1] ?? '';
  const named = [...map.matchAll(/^(\S+\/) /gm)].map(([, folder = '']) => folder);

  expect(named.sort()).toEqual(foldersIn('').sort());
});

test('no line is wider than 100 columns, unless it holds a URL', () => {
  const broken: string[] = [];
  for (const path of sources) {
    for (const [index, line] of read(path).split('\n').entries()) {
      if (line.length > 100 && !/https?:\/\//.test(line))
        broken.push(`${path}:${index + 1} has ${line.length} columns`);
    }
  }

  expect(broken).toEqual([]);
});

test('biome.json limits all functions of src/ to 70 lines', () => {
  const { overrides } = JSON.parse(read('biome.json')) as {
    overrides: {
      includes: string[];
      linter: { rules: { complexity?: Record<string, unknown> } };
    }[];
  };
  const rules = overrides.flatMap(({ includes, linter }) => {
    const rule = linter.rules.complexity?.['noExcessiveLinesPerFunction'];
    return rule === undefined ? [] : [{ includes, rule }];
  });

  expect(rules).toEqual([
    {
      includes: ['src/**'],
      rule: { level: 'error', options: { maxLines: 70, skipBlankLines: false } },
    },
  ]);
});

/** Words that must be decoded, each with what to write instead. */
const wordsToReplace: readonly (readonly [RegExp, string])[] = [
  [/\blook(?:s|ed|ing)?\b(?! up)/, 'check'],
  [/(?<!\bas )\bwell\b(?!-)/, 'healthy'],
  [/\baway\b/, 'unreachable'],
  [/\b(?:stands?|standing|stood)\b/, 'status'],
  [/\b(?:told|hears?|heard|news)\b/, 'logged, recorded, notified'],
  [/\b(?:board|books|agenda|notices)\b/, 'status cache, run log, due queue, alerts'],
  [/(?<!secret )\bputs? (?:a|an|the|by|into|back|under|in|it|its)\b/, 'store'],
  [/\bmend(?:s|ed|ing)?\b/, 'correct'],
  [/\b(?:lift(?:s|ed|ing)?|lets? (?:it )?go)\b/, 'clear, release'],
  [/\blost to everybody\b/, 'unrecoverable'],
  [/\ba person is needed\b/, 'action required'],
  [/\bdead\b(?! code|[- ]letter)/, 'invalid, stopped, outage window'],
  [/\breset's answer\b/, 'reset response'],
  [/\bintents? without an outcome\b/, 'unfinished rotation'],
  [/\bholders?\b/, 'owner'],
  [/\blease is running\b/, 'lease valid until TIME'],
  [/\bticks?\b|(?<!\bin )\bturns?\b(?! (?:on|off|into)\b)/, 'scheduled run'],
  [/\bsinks?\b(?!\.failed)/, 'audit storage'],
  [/\bthe (?:very )?word\b|\bwhole\b/, 'complete, or leave it out'],
  [/\bof (?:its|their|our|your) own\b|\bby (?:itself|themselves|himself)\b/, 'say what is meant'],
  [/(?<!encrypted |encryption )\bat rest\b/, 'no rotation in progress'],
];

test('no comment, message, test title or document has a word to replace', () => {
  const broken: string[] = [];
  for (const path of [...sources, ...documents]) {
    // This file quotes them.
    if (path === 'test/unit/house.test.ts') continue;
    for (const { line, text } of proseOf(path, read(path))) {
      for (const [pattern, instead] of wordsToReplace) {
        const found = pattern.exec(text.toLowerCase())?.[0];
        if (found) broken.push(`${path}:${line} "${found}": ${instead}`);
      }
    }
  }

  expect(broken).toEqual([]);
});

type Prose = { readonly line: number; readonly text: string };

/**
 * What a person reads in a file: comments and strings of several words, line by line. Code spans
 * and quoted names are omitted, since interfaces keep their names. TSX and Markdown are prose
 * outside of code blocks.
 */
function proseOf(path: string, source: string): Prose[] {
  const text = path.endsWith('.md')
    ? source.replace(/```[\s\S]*?```/g, (block) => block.replace(/[^\n]/g, ''))
    : path.endsWith('x')
      ? source
      : withoutCode(source);
  return text
    .split('\n')
    .map((line, index) => ({ line: index + 1, text: line.replace(/`[^`]*`|"[\w.-]+"/g, '') }));
}

/** The source with everything blanked that is no comment and no string of several words. */
function withoutCode(source: string): string {
  const comment = /\/\/[^\n]*|\/\*[\s\S]*?\*\//;
  const text = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/;
  const expression = /(?<=[(,=:[!&|?{};]\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\//;
  const token = new RegExp([comment, text, expression].map(({ source }) => source).join('|'), 'g');
  const blank = (code: string): string => code.replace(/[^\n]/g, ' ');
  let prose = '';
  let end = 0;
  for (const match of source.matchAll(token)) {
    const isComment = match[0].startsWith('//') || match[0].startsWith('/*');
    const isText = /^['"`]/.test(match[0]) && match[0].includes(' ');
    const kept = isText ? ` ${match[0].slice(1, -1)} ` : match[0];
    prose += blank(source.slice(end, match.index)) + (isComment || isText ? kept : blank(match[0]));
    end = match.index + match[0].length;
  }
  return prose + blank(source.slice(end));
}
