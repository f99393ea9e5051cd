// Checks CloudFormation templates against the resource specification of AWS, offline: unknown types
// and properties, missing and mistyped values, references to nothing. It cannot check what only AWS
// knows: allowed values and quotas.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parse, type ScalarTag, type Tags } from 'yaml';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Fields = { [key: string]: Json };
export type Resource = {
  Type: string;
  Properties?: Fields;
  Condition?: string;
  DependsOn?: Json;
  [key: string]: unknown;
};
export type Template = {
  Parameters?: Record<string, Fields>;
  Conditions?: Fields;
  Resources: Record<string, Resource>;
  Outputs?: Record<string, { Value: Json; Condition?: string; Export?: { Name: Json } }>;
};

/** `!Ref x` and its kin, as CloudFormation's YAML has them, to the long form. */
const tags: Tags = [
  'Ref',
  'Condition',
  'GetAtt',
  'Sub',
  'If',
  'Not',
  'Equals',
  'And',
  'Or',
  'Join',
  'Split',
  'Select',
  'ImportValue',
  'GetAZs',
].flatMap((name) => {
  const key = name === 'Ref' || name === 'Condition' ? name : `Fn::${name}`;
  const scalar: ScalarTag = {
    tag: `!${name}`,
    resolve: (text) => ({
      [key]:
        name === 'GetAtt'
          ? [text.slice(0, text.indexOf('.')), text.slice(text.indexOf('.') + 1)]
          : text,
    }),
  };
  return [
    scalar,
    {
      tag: `!${name}`,
      collection: 'seq' as const,
      resolve: (sequence: unknown) => ({ [key]: JSON.parse(JSON.stringify(sequence)) }) as never,
    },
  ];
});

function parseTemplate(text: string): Template {
  return (
    text.trimStart().startsWith('{')
      ? JSON.parse(text)
      : parse(text, { customTags: (core) => [...core, ...(tags as never[])] })
  ) as Template;
}

export const readTemplate = (path: string): Template => parseTemplate(readFileSync(path, 'utf8'));

type Type =
  | { type: 'string' | 'integer' | 'number' | 'boolean' | 'json' | 'tag' | 'date-time' | 'null' }
  | { type: 'array' | 'map'; element: Type }
  | { type: 'union'; types: Type[] }
  | { type: 'ref'; reference: { $ref: string } };
type Property = { type: Type; previousTypes?: Type[]; required?: boolean };
type Described = {
  properties: Record<string, Property>;
  attributes?: Record<string, unknown>;
  cloudFormationType?: string;
  name: string;
  $id: string;
};

let loaded: { resources: Map<string, Described>; types: Map<string, Described> } | undefined;

/** AWS's specification, from the package: 2.6 MB that take about a second to read. */
function specification() {
  if (loaded) return loaded;
  const folder = join(
    createRequire(import.meta.url).resolve('@aws-cdk/aws-service-spec/package.json'),
    '..',
  );
  const { schema } = JSON.parse(
    gunzipSync(readFileSync(join(folder, 'db.json.gz'))).toString('utf8'),
  ) as {
    schema: Record<'resource' | 'typeDefinition', { entities: Record<string, Described> }>;
  };
  loaded = {
    resources: new Map(
      Object.values(schema.resource.entities).map((resource) => [
        resource.cloudFormationType ?? '',
        resource,
      ]),
    ),
    types: new Map(Object.values(schema.typeDefinition.entities).map((type) => [type.$id, type])),
  };
  return loaded;
}

const pseudo = [
  'AccountId',
  'Region',
  'Partition',
  'StackId',
  'StackName',
  'URLSuffix',
  'NoValue',
  'NotificationARNs',
].map((name) => `AWS::${name}`);

/**
 * Everything that is wrong with a template, one sentence each with its place. `exports` are the
 * names that other stacks export.
 */
export function problemsOf(template: Template, exports: readonly string[] = []): string[] {
  const { resources } = specification();
  const problems: string[] = [];
  const used = new Set<string>();
  for (const [id, resource] of Object.entries(template.Resources)) {
    const described = resources.get(resource.Type);
    if (!described) {
      problems.push(`${id}: ${resource.Type} is no resource type`);
      continue;
    }
    problems.push(...fieldProblems(resource.Properties ?? {}, described, id));
    const attributes = [
      'Type',
      'Properties',
      'Condition',
      'DependsOn',
      'DeletionPolicy',
      'UpdateReplacePolicy',
      'Metadata',
      'UpdatePolicy',
      'CreationPolicy',
    ];
    for (const key of Object.keys(resource))
      if (!attributes.includes(key)) problems.push(`${id}: unknown attribute ${key}`);
    for (const other of [resource.DependsOn ?? []].flat()) {
      if (!(String(other) in template.Resources))
        problems.push(`${id}: DependsOn names nothing: ${String(other)}`);
    }
    if (resource.Condition !== undefined)
      problems.push(...conditionProblems(template, resource.Condition, id, used));
    problems.push(...referenceProblems(template, resource.Properties ?? {}, id, exports, used));
  }
  for (const [id, { Condition }] of Object.entries(template.Outputs ?? {}))
    if (Condition !== undefined) problems.push(...conditionProblems(template, Condition, id, used));
  problems.push(
    ...referenceProblems(template, template.Conditions ?? {}, 'Conditions', exports, used),
  );
  problems.push(
    ...referenceProblems(template, (template.Outputs ?? {}) as never, 'Outputs', exports, used),
  );
  for (const name of [
    ...Object.keys(template.Parameters ?? {}),
    ...Object.keys(template.Conditions ?? {}),
  ]) {
    if (!used.has(name)) problems.push(`${name} is declared and never used`);
  }
  return problems;
}

const isObject = (value: Json | undefined): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The one key of an intrinsic function's object; undefined for plain data. */
function intrinsicOf(value: Json): string | undefined {
  const keys = isObject(value) ? Object.keys(value) : [];
  return keys.length === 1 &&
    (keys[0] === 'Ref' || keys[0] === 'Condition' || keys[0]?.startsWith('Fn::'))
    ? keys[0]
    : undefined;
}

const isNoValue = (value: Json): boolean => isObject(value) && value['Ref'] === 'AWS::NoValue';

function fieldProblems(fields: Fields, described: Described, at: string): string[] {
  const unknown = Object.keys(fields).filter((key) => !(key in described.properties));
  const missing = Object.entries(described.properties).filter(
    ([key, { required }]) => required && !(key in fields),
  );
  return [
    ...unknown.map(
      (key) => `${at}: ${described.cloudFormationType ?? described.name} has no property ${key}`,
    ),
    ...missing.map(([key]) => `${at}: ${key} is missing`),
    ...Object.entries(fields).flatMap(([key, value]) => {
      const property = described.properties[key];
      if (!property || isNoValue(value)) return [];
      // Some properties have been typed anew over time; any of their types will do.
      const tries = [property.type, ...(property.previousTypes ?? [])].map((type) =>
        valueProblems(value, type, `${at}.${key}`),
      );
      return tries.find((found) => found.length === 0) ?? tries[0] ?? [];
    }),
  ];
}

function valueProblems(value: Json, type: Type, at: string): string[] {
  const intrinsic = intrinsicOf(value);
  if (intrinsic === 'Fn::If') {
    const [, yes = null, no = null] = (value as Fields)['Fn::If'] as Json[];
    return [yes, no].flatMap((branch) =>
      isNoValue(branch) ? [] : valueProblems(branch, type, at),
    );
  }
  if (intrinsic) return [];
  const wrong = (what: string): string[] => [
    `${at}: is ${Array.isArray(value) ? 'a list' : typeof value}, and must be ${what}`,
  ];
  switch (type.type) {
    case 'string':
    case 'date-time':
      return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
        ? []
        : wrong('a text');
    case 'integer':
      return /^-?\d+$/.test(String(value)) ? [] : wrong('an integer');
    case 'number':
      return value !== '' && !Array.isArray(value) && Number.isFinite(Number(value))
        ? []
        : wrong('a number');
    case 'boolean':
      return value === true || value === false || value === 'true' || value === 'false'
        ? []
        : wrong('true or false');
    case 'json':
    case 'null':
      return [];
    case 'tag':
      return isObject(value) && 'Key' in value && 'Value' in value ? [] : wrong('Key and Value');
    case 'array':
      if (!Array.isArray(value)) return wrong('a list');
      return value.flatMap((item, index) =>
        isNoValue(item) ? [] : valueProblems(item, type.element, `${at}[${index}]`),
      );
    case 'map':
      if (!isObject(value)) return wrong('a map');
      return Object.entries(value).flatMap(([key, item]) =>
        valueProblems(item, type.element, `${at}.${key}`),
      );
    case 'union': {
      const tries = type.types.map((one) => valueProblems(value, one, at));
      return tries.find((found) => found.length === 0) ?? tries[0] ?? [];
    }
    case 'ref': {
      const described = specification().types.get(type.reference.$ref);
      if (!described) throw new Error(`the specification has no type ${type.reference.$ref}`);
      return isObject(value) ? fieldProblems(value, described, at) : wrong(described.name);
    }
  }
}

function conditionProblems(
  template: Template,
  name: string,
  at: string,
  used: Set<string>,
): string[] {
  used.add(name);
  return name in (template.Conditions ?? {}) ? [] : [`${at}: there is no condition ${name}`];
}

function referenceProblems(
  template: Template,
  value: Json,
  at: string,
  exports: readonly string[],
  used: Set<string>,
): string[] {
  if (Array.isArray(value))
    return value.flatMap((item) => referenceProblems(template, item, at, exports, used));
  if (!isObject(value)) return [];
  const below = (inner: Json): string[] => referenceProblems(template, inner, at, exports, used);
  const toName = (name: string): string[] => {
    used.add(name);
    const known =
      name in template.Resources || name in (template.Parameters ?? {}) || pseudo.includes(name);
    return known ? [] : [`${at}: there is nothing called ${name}`];
  };
  const toAttribute = (id: string, attribute: string): string[] => {
    const resource = template.Resources[id];
    if (!resource) return [`${at}: there is no resource ${id}`];
    const described = specification().resources.get(resource.Type);
    return described && attribute in (described.attributes ?? {})
      ? []
      : [`${at}: ${resource.Type} has no attribute ${attribute}`];
  };
  const intrinsic = intrinsicOf(value);
  const inner = intrinsic === undefined ? undefined : value[intrinsic];
  switch (intrinsic) {
    case 'Ref':
      return toName(String(inner));
    case 'Condition':
      return typeof inner === 'string'
        ? conditionProblems(template, inner, at, used)
        : below(inner ?? null);
    case 'Fn::GetAtt': {
      const [id, attribute] = Array.isArray(inner)
        ? inner.map(String)
        : String(inner).split(/\.(.*)/s);
      return toAttribute(id ?? '', attribute ?? '');
    }
    case 'Fn::Sub': {
      const [text, own] = Array.isArray(inner)
        ? [String(inner[0]), inner[1] as Fields]
        : [String(inner), {}];
      const names = [...text.matchAll(/\$\{([^!}][^}]*)\}/g)]
        .map((found) => found[1] ?? '')
        .filter((name) => !(name in own));
      return [
        ...names.flatMap((name) =>
          name.includes('.')
            ? toAttribute(...(name.split(/\.(.*)/s) as [string, string]))
            : toName(name),
        ),
        ...below(own),
      ];
    }
    case 'Fn::If':
      return [
        ...conditionProblems(template, String((inner as Json[])[0]), at, used),
        ...below((inner as Json[]).slice(1)),
      ];
    case 'Fn::ImportValue': {
      const name = exportName(inner ?? null);
      const unknown = exports.includes(name) ? [] : [`${at}: no template exports ${name}`];
      return typeof inner === 'string' ? unknown : [...unknown, ...below(inner ?? null)];
    }
    default:
      return Object.values(value).flatMap(below);
  }
}

/** What osls makes of serverless.yml, in `folder`. The zip in it is empty. */
export async function packageTemplate(
  folder: string,
  params: readonly string[] = [],
  stage = 'live',
): Promise<Template> {
  const root = join(import.meta.dirname, '../..');
  const { zip } = (await import('../../scripts/zip.mjs' as string)) as {
    zip(files: object[]): Uint8Array;
  };
  const out = mkdtempSync(join(folder, 'osls-'));
  writeFileSync(join(out, 'function.zip'), zip([{ path: 'lambda.js', contents: Buffer.from('') }]));
  const args = params.flatMap((param) => ['--param', param]);
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules/osls/bin/serverless.js'),
      'package',
      '--package',
      out,
      '--stage',
      stage,
      ...args,
    ],
    {
      cwd: root,
      stdio: 'pipe',
      // No credentials, no home: what it makes, it makes of these files alone.
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        ROTATOR_PACKAGE_ZIP: join(out, 'function.zip'),
      },
    },
  );
  return readTemplate(join(out, 'cloudformation-template-update-stack.json'));
}

/** The name of an export or an import, in the stage `live`. */
const exportName = (name: Json): string =>
  String(isObject(name) ? name['Fn::Sub'] : name).replace(/\$\{Stage\}/g, 'live');

/** The names a template exports. */
export const exportsOf = (template: Template): string[] =>
  Object.values(template.Outputs ?? {}).flatMap(({ Export }) =>
    Export ? [exportName(Export.Name)] : [],
  );

/**
 * The path of cfn-guard's binary in the package that contains it. Only the binary is used: the
 * package's peer dependency `aws-cdk-lib` is replaced in package.json
 * (docs/decisions/0014-cfn-guard-peer-override.md).
 */
export function guardBinary(): string | null {
  const folder = join(
    createRequire(import.meta.url).resolve('@cdklabs/cdk-validator-cfnguard/package.json'),
    '..',
    'bin',
  );
  const arch = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string];
  const system = { linux: 'ubuntu', darwin: 'macos' }[process.platform as string];
  return arch && system ? join(folder, system, arch, 'cfn-guard') : null;
}

/** The rules of a file that a template breaks, by name. */
export function brokenRules(guard: string, rules: string, template: string): string[] {
  try {
    execFileSync(
      guard,
      [
        'validate',
        '--rules',
        rules,
        '--data',
        template,
        '--output-format',
        'json',
        '--show-summary',
        'none',
        '--structured',
      ],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    return [];
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
    // 19: a rule failed. Any other status: cfn-guard cannot read a rule file or the template.
    if (status !== 19) throw new Error(`cfn-guard ended with ${status}: ${stderr}${stdout}`);
    const reports = JSON.parse(stdout) as { not_compliant: { Rule: { name: string } }[] }[];
    return reports.flatMap(({ not_compliant }) => not_compliant.map(({ Rule }) => Rule.name));
  }
}
