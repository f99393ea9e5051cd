// The configuration before validation: the value of the file, overridden by ROTATOR_ variables, and
// the place of each key. A message must never contain a value.

import { nearest, UsageError } from './errors.ts';

/** A key's place in the configuration: `['accounts', 0, 'name']`. */
export type Path = readonly (string | number)[];

/** `accounts[0].name` */
export function showPath(path: Path): string {
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${step}`,
    )
    .join('');
}

/** The part of JSON Schema that leads from a name to a key. */
export type Node = {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node | false;
  readonly prefixItems?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly description?: string;
  readonly accepts?: string;
};

/** The properties of a node and of its variants; the first variant that has a key decides. */
export function propertiesOf({ properties, oneOf = [] }: Node): Readonly<Record<string, Node>> {
  const all: Record<string, Node> = { ...properties };
  for (const variant of oneOf)
    for (const [key, inner] of Object.entries(propertiesOf(variant))) all[key] ??= inner;
  return all;
}

/** The node at a path; undefined where the schema has no such key. */
export function nodeAt(root: Node, path: Path): Node | undefined {
  return path.reduce<Node | undefined>((node, step) => {
    if (typeof step === 'string') return node && propertiesOf(node)[step];
    return node?.prefixItems?.[step] ?? (node?.items || undefined);
  }, root);
}

/** A plain value, and the place where each of its keys was written. */
export type Input = { readonly value: unknown; readonly placeOf: (path: Path) => string };

/** Removes empty values (`notify:`): they mean the same as a missing key. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) =>
      inner === null ? [] : [[key, withoutNulls(inner)]],
    ),
  );
}

export type Environment = Readonly<Record<string, string | undefined>>;

export const prefix = 'ROTATOR_';
/** Variables with the prefix that are not keys of the configuration. */
const others = [`${prefix}CONFIG`];

/** `ROTATOR_THINGSPACE__BASE_URL` for `thingspace.baseUrl`. */
export function variableOf(path: Path): string {
  const steps = path.map((step) =>
    String(step).replace(/[a-z0-9][A-Z]/g, ([low, high]) => `${low}_${high}`),
  );
  return `${prefix}${steps.join('__').toUpperCase()}`;
}

/**
 * `input` overridden by the ROTATOR_ variables. `__` separates the steps of a key; case and `_`
 * within a step have no meaning. Lists and sections are JSON, or one variable per index and key; a
 * list of texts can have commas. An empty variable is ignored. Throws a UsageError for a variable
 * that is not a key.
 */
export function withEnvironment(input: Input, env: Environment, root: Node): Input {
  const problems: string[] = [];
  const origins = new Map<string, string>();
  let value = input.value;
  // Sections before their keys, so that the more specific variable takes effect.
  const stepsIn = (variable: string): number => variable.split('__').length;
  const variables = Object.keys(env)
    .filter((variable) => variable.startsWith(prefix) && !others.includes(variable))
    .sort((a, b) => stepsIn(a) - stepsIn(b) || (a < b ? -1 : 1));
  for (const variable of variables) {
    const text = env[variable] ?? '';
    const path = findPath(variable, root);
    if (path === null) problems.push(unknownVariable(variable, root));
    if (path === null || text.trim() === '') continue;
    try {
      value = withValueAt(value, path, parseVariable(text, nodeAt(root, path) ?? {}));
      origins.set(showPath(path), variable);
    } catch {
      problems.push(`${variable} is not valid JSON.`);
    }
  }
  if (problems.length > 0) throw new UsageError(problems);
  const placeOf = (path: Path): string => {
    for (let length = path.length; length > 0; length -= 1) {
      const variable = origins.get(showPath(path.slice(0, length)));
      if (variable) return variable;
    }
    return input.placeOf(path);
  };
  return { value, placeOf };
}

const normalise = (step: string): string => step.replaceAll('_', '').toLowerCase();

function findPath(variable: string, root: Node): Path | null {
  const path: (string | number)[] = [];
  for (const step of variable.slice(prefix.length).split('__')) {
    const node = nodeAt(root, path) ?? {};
    const isIndex = node.type === 'array' && /^\d{1,4}$/.test(step);
    const names = Object.keys(propertiesOf(node));
    const key = isIndex ? Number(step) : names.find((name) => normalise(name) === normalise(step));
    if (key === undefined) return null;
    path.push(key);
  }
  return nodeAt(root, path) ? path : null;
}

function unknownVariable(variable: string, root: Node): string {
  const keys = keysOf(root).map(({ path }) =>
    variableOf(path.map((step) => (step === '[]' ? 0 : step))),
  );
  const near = nearest(variable.replace(/__\d+/g, '__0'), [...others, ...keys]);
  const hint = near ? `Did you mean ${near}?` : 'docs/CONFIGURATION.md lists all keys.';
  return `${variable} is not a key of the configuration. ${hint}`;
}

type Key = { readonly path: readonly string[]; readonly node: Node };

/** Every key of the schema, sections included, in the order of the schema; `[]` is an index. */
export function keysOf(node: Node, path: readonly string[] = []): Key[] {
  const own = path.length === 0 ? [] : [{ path, node }];
  const ofItems = Object.entries(propertiesOf(node.items || {}));
  const inner = ofItems.length > 0 ? ofItems : Object.entries(propertiesOf(node));
  const at = ofItems.length > 0 ? [...path, '[]'] : path;
  return [...own, ...inner.flatMap(([key, below]) => keysOf(below, [...at, key]))];
}

function parseVariable(text: string, node: Node): unknown {
  const trimmed = text.trim();
  if (node.type === 'array' && !trimmed.startsWith('['))
    return trimmed.split(',').map((item) => item.trim());
  if (node.type === 'array' || node.type === 'object' || node.oneOf)
    return withoutNulls(JSON.parse(trimmed));
  if ((node.type === 'integer' || node.type === 'number') && /^-?\d{1,15}$/.test(trimmed))
    return Number(trimmed);
  if (node.type === 'boolean' && /^(true|false)$/i.test(trimmed))
    return trimmed.toLowerCase() === 'true';
  return text;
}

/** A copy of `value` with `inner` at `path`. A plain value on the path is replaced. */
function withValueAt(value: unknown, path: Path, inner: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return inner;
  if (typeof step === 'number') {
    const list = Array.isArray(value) ? [...value] : [];
    list[step] = withValueAt(list[step], rest, inner);
    return list;
  }
  const section = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
  const before = (section as Record<string, unknown>)[step];
  return { ...section, [step]: withValueAt(before, rest, inner) };
}
