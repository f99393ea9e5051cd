// docs/DEPLOY.md names existing files, parameters, functions and orders, and its figures are
// correct.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config/load.ts';
import { readOrder } from '../../src/lambda/messages.ts';
import { neededForResetMs } from '../../src/rotation/state.ts';
import { readTemplate } from '../harness/cloudformation.ts';

const root = join(import.meta.dirname, '../..');
const text = readFileSync(join(root, 'docs/DEPLOY.md'), 'utf8');
const serverless = parse(readFileSync(join(root, 'serverless.yml'), 'utf8')) as {
  service: string;
  functions: Record<string, object>;
};

test('every file that DEPLOY.md names exists', () => {
  for (const [, file = ''] of text.matchAll(/`?((?:infra|docs)\/[\w./-]+\w)`?/g))
    expect([file, existsSync(join(root, file))]).toEqual([file, true]);
});

test('DEPLOY.md explains each parameter of the stage file, and passes no value beside it', () => {
  const { Parameters } = JSON.parse(readFileSync(join(root, 'infra/stages/live.json'), 'utf8')) as {
    Parameters: object;
  };
  const table = text.slice(text.indexOf('| Parameter |'), text.indexOf('A second stage'));
  const explained = [...table.matchAll(/^\| (`[^|]+) \|/gm)].flatMap((found) =>
    [...(found[1] ?? '').matchAll(/`(\w+)`/g)].map((name) => name[1]),
  );
  expect(explained.sort()).toEqual(Object.keys(Parameters).sort());
  expect(text).not.toContain('--param ');

  for (const [, template = '', overrides = ''] of text.matchAll(
    /--template-file (\S+) --parameter-overrides ([^\n]+)/g,
  )) {
    const known = Object.keys(readTemplate(join(root, template)).Parameters ?? {});
    for (const [, name] of overrides.matchAll(/(\w+)=/g)) expect(known).toContain(name);
    for (const [, path = ''] of overrides.matchAll(/file:\/\/(\S+)/g))
      expect([path, existsSync(join(root, path))]).toEqual([path, true]);
  }
});

test('every order in DEPLOY.md is accepted, and its function exists', () => {
  const orders = [...text.matchAll(/--payload '([^']+)'/g)].map(
    (found) => readOrder(JSON.parse(found[1] ?? ''), 'id').action,
  );
  expect(orders).toEqual(['check', 'rotate']);
  const functions = [...text.matchAll(/--function-name (\S+)/g)].map((found) => found[1]);
  for (const name of functions) expect(name).toBe(`${serverless.service}-live-scheduled`);
});

test('the environment for the command line is a valid configuration', async () => {
  const env = Object.fromEntries(
    [...text.matchAll(/(ROTATOR_\w+)=('[^']*'|\S+)/g)].map((found) => [
      found[1],
      (found[2] ?? '').replaceAll("'", '').replace(/^BUCKET$/, 'bucket'),
    ]),
  );

  const config = await parseConfig({ text: null, file: 'the environment', folder: '/', env });

  expect(config).toMatchObject({
    accounts: [{ name: 'thingspace/fleet-east' }],
    audit: { s3: { prefix: 'audit/' } },
  });
});

test('DEPLOY.md has the current time limit of a reset and number of alarms', async () => {
  const { thingspace } = await parseConfig({
    text: null,
    file: 'none',
    folder: '/',
    env: { ROTATOR_ACCOUNTS: '[{"name":"a"}]' },
  });
  expect(text).toContain(`${neededForResetMs(thingspace) / 1000} s with the defaults`);
  const alarms = Object.values(readTemplate(join(root, 'infra/alarms.yaml')).Resources).filter(
    ({ Type }) => Type === 'AWS::CloudWatch::Alarm',
  );
  expect(text).toContain(`${alarms.length} alarms`);
});
