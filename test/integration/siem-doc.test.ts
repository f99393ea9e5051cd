// The examples of docs/SIEM.md: they can be parsed, and name fields that a record has.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { filledLog, linesIn, removeTempFolders, tempFolder } from '../harness/audit.ts';

afterAll(removeTempFolders);

const read = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
const page = read('SIEM.md');
const blockOf = (language: string): string =>
  new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? '';
const { properties } = JSON.parse(read('audit-record.schema.json'));

/** Whether `path`, such as `metadata.uid`, is a field of the schema. */
const isField = (path: string): boolean =>
  path.split('.').reduce((node, step) => node?.properties?.[step], { properties }) !== undefined;

test('the rule of Microsoft Sentinel is JSON, and its columns are fields of a record', () => {
  const { streamDeclarations, dataFlows } = JSON.parse(blockOf('json'));
  const [[stream, { columns }]] = Object.entries(streamDeclarations) as [
    [string, { columns: { name: string }[] }],
  ];

  expect(columns.map(({ name }) => name).filter((name) => !isField(name))).toEqual([]);
  expect(dataFlows[0].streams).toEqual([stream]);
});

test('the configuration of Filebeat is YAML, and renames fields of a record', () => {
  const { processors, ...config } = parse(blockOf('yaml'));
  const [{ parsers }] = config['filebeat.inputs'];
  const renamed = processors[1].rename.fields.map(({ from }: { from: string }) => from);
  const fields = [processors[0].timestamp.field, ...renamed].map((name) => name.slice(5));

  expect([...fields, parsers[0].ndjson.document_id].filter((name) => !isField(name))).toEqual([]);
});

test('the settings of Splunk take the time of a record', () => {
  const settings = Object.fromEntries(
    blockOf('ini')
      .split('\n')
      .filter((line) => line.includes(' = '))
      .map((line) => line.split(' = ')),
  );

  expect(settings).toMatchObject({ INDEXED_EXTRACTIONS: 'json', TRUNCATE: '65536' });
  expect(isField(settings['TIMESTAMP_FIELDS'])).toBe(true);
});

test('the script for Security Lake groups the records of a log by day', async () => {
  const log = await filledLog(3, 3);
  await log.close();
  const folder = tempFolder();
  writeFileSync(join(folder, 'lake.py'), blockOf('python'));
  const code =
    'import json,sys,lake\nprint(json.dumps({day: [one["metadata"]["sequence"] for one in ' +
    'records] for day, records in lake.by_day(sys.stdin).items()}))';

  const ran = spawnSync('python3', ['-c', code], {
    cwd: folder,
    env: { ...process.env, PYTHONPATH: folder },
    input: linesIn(log.directory).join('\n'),
    encoding: 'utf8',
  });

  expect(JSON.parse(ran.stdout)).toEqual({
    '20260301': [0],
    '20260302': [1, 2],
    '20260303': [3, 4],
    '20260304': [5, 6],
  });
});
