// Our records against the published schema of OCSF 1.5.0, which is not in this repository:
// OCSF_SCHEMA names a checkout of it (github.com/ocsf/ocsf-schema, tag v1.5.0).

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { formatRecord } from '../../src/audit/record.ts';
import { cloudContext, samples, stamp } from '../harness/audit-samples.ts';

const folder = process.env['OCSF_SCHEMA'];

type Attribute = {
  readonly type?: string;
  readonly requirement?: string;
  readonly profile?: string | null;
  readonly enum?: Readonly<Record<string, unknown>>;
};
type Attributes = Readonly<Record<string, Attribute>>;
type Definition = {
  readonly name?: string;
  readonly extends?: string;
  readonly attributes?: Attributes & { readonly $include?: readonly string[] };
};

const readJson = <T>(...path: string[]): T =>
  JSON.parse(readFileSync(join(folder ?? '', ...path), 'utf8')) as T;

/** All definitions below a folder, by name. */
function definitionsIn(name: string): Map<string, Definition> {
  const files = readdirSync(join(folder ?? '', name), { recursive: true, encoding: 'utf8' });
  return new Map(
    files
      .filter((file) => file.endsWith('.json'))
      .map((file) => readJson<Definition>(name, file))
      .map((found) => [found.name ?? found.extends ?? '', found]),
  );
}

/** The attributes of a class or object, with those that it extends and includes. */
function attributesOf(name: string, all: Map<string, Definition>): Attributes {
  const { extends: base, attributes: { $include = [], ...own } = {} } = all.get(name) ?? {};
  const merged: Record<string, Attribute> = base ? { ...attributesOf(base, all) } : {};
  // A profile applies only to an event that names it; the records of the samples name `cloud`.
  const included = $include
    .filter((file) => !file.startsWith('profiles/') || file === 'profiles/cloud.json')
    .map((file) => readJson<Definition>(file).attributes ?? {});
  for (const attributes of [...included, own])
    for (const [key, attribute] of Object.entries(attributes)) {
      const values = { ...merged[key]?.enum, ...attribute.enum };
      const some = Object.keys(values).length > 0 ? { enum: values } : {};
      merged[key] = { ...merged[key], ...attribute, ...some };
    }
  return merged;
}

function checker() {
  const dictionary = readJson<{ attributes: Attributes }>('dictionary.json').attributes;
  const objects = definitionsIn('objects');
  const problems = new Set<string>();

  function checkFields(fields: object, attributes: Attributes, path: string): void {
    for (const [key, { requirement, profile }] of Object.entries(attributes))
      if (requirement === 'required' && !profile && !(key in fields))
        problems.add(`${path}${key} is required`);
    for (const [key, value] of Object.entries(fields)) {
      const attribute = attributes[key];
      if (!attribute) problems.add(`${path}${key} is no attribute`);
      else checkValue(value, { ...dictionary[key], ...attribute }, `${path}${key}`);
    }
  }

  function checkValue(value: unknown, attribute: Attribute, path: string): void {
    const { type = '', enum: values } = attribute;
    if (Array.isArray(value)) {
      for (const one of value) checkValue(one, attribute, path);
    } else if (typeof value === 'object' && value !== null) {
      if (objects.has(type) && type !== 'object')
        checkFields(value, attributesOf(type, objects), `${path}.`);
      else if (type !== 'object' && type !== 'json_t') problems.add(`${path} is no object`);
    } else {
      const isNumber = ['integer_t', 'long_t', 'timestamp_t', 'port_t'].includes(type);
      if (isNumber !== Number.isInteger(value) && type !== 'boolean_t')
        problems.add(`${path} is no ${type}`);
      if (values && !(String(value) in values)) problems.add(`${path}: ${value} is no value`);
    }
  }

  return { problems, checkFields };
}

(folder ? test : test.skip)('every record is an event of the published schema', () => {
  const { problems, checkFields } = checker();
  const attributes = attributesOf('account_change', definitionsIn('events'));
  // The schema server fills in the ids of class and category, and the values of type_uid.
  const given = new Set(['class_uid', 'category_uid', 'type_uid']);
  const open = Object.fromEntries(
    Object.entries(attributes).map(([key, { enum: values, ...rest }]) => [
      key,
      given.has(key) || !values ? rest : { ...rest, enum: values },
    ]),
  );

  for (const event of samples)
    checkFields(JSON.parse(formatRecord(event, stamp, cloudContext)), open, '');

  expect([...problems]).toEqual([]);
});
