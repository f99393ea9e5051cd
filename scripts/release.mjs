// Makes a release: `npm run release`. Refuses a working tree with changes, a version without a
// dated heading in CHANGELOG.md, and a tag that exists already. Then it runs the tests, and writes
// the package and its bill of materials to .release/. A person publishes the package and pushes the
// tag.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const run = (command, ...args) =>
  execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 26,
  });
const refuse = (why) => {
  console.error(`no release: ${why}`);
  process.exit(1);
};

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
if (run('git', 'status', '--porcelain') !== '') refuse('the working tree has changes');
const headings = readFileSync('CHANGELOG.md', 'utf8').match(/^## .*$/gm) ?? [];
if (!headings.some((heading) => /^\d{4}-\d\d-\d\d$/.test(heading.replace(`## ${version} - `, ''))))
  refuse(`CHANGELOG.md has no heading "## ${version} - YYYY-MM-DD"`);
if (run('git', 'tag', '--list', `v${version}`) !== '') refuse(`the tag v${version} exists already`);
execFileSync('npm', ['test'], { stdio: 'inherit' });
execFileSync('npm', ['run', '--silent', 'house'], { stdio: 'inherit' });

rmSync('.release', { recursive: true, force: true });
mkdirSync('.release');
writeFileSync(
  '.release/sbom.cdx.json',
  run('npm', 'sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev'),
);
run('npm', 'pack', '--pack-destination', '.release');
run('git', 'tag', '--annotate', `v${version}`, '--message', `thingspace-rotator ${version}`);
console.log(
  `.release/ contains the package and its bill of materials; the tag is v${version}.
Next: npm publish .release/*.tgz && git push --tags`,
);
