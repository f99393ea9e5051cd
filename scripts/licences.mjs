// `npm run licences`: fails if a shipped package has a licence that is not in the list below. Reads
// the bill of materials that npm generates.

import { execFileSync } from 'node:child_process';

const allowed = new Set([
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
  '(MIT OR CC0-1.0)',
  'MIT-0',
  'Unlicense',
]);
const { components } = JSON.parse(
  execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 2 ** 26,
  }),
);
const licenceOf = ({ licenses = [] }) =>
  licenses.map(({ license, expression }) => license?.id ?? license?.name ?? expression).join(' ') ||
  'none';
const refused = components.filter((component) => !allowed.has(licenceOf(component)));
for (const component of refused)
  console.error(`${component.name}@${component.version}: ${licenceOf(component)}`);
const accepted = components.length - refused.length;
console.log(`${accepted} of ${components.length} shipped packages have an allowed licence`);
process.exitCode = refused.length > 0 ? 1 : 0;
