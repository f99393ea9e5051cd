// Makes a release: `npm run release`. Refuses an unclean tree, a version without a heading in CHANGELOG.md, and a tag that is there already;
// then tests, and leaves the package and its bill of materials in .release/. Publishing and pushing are a person's.

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
if (!readFileSync('CHANGELOG.md', 'utf8').includes(`\n## ${version}\n`))
  refuse(`CHANGELOG.md has no heading "## ${version}"`);
if (run('git', 'tag', '--list', `v${version}`) !== '')
  refuse(`the tag v${version} is there already`);
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
  `.release/ holds the package and its bill of materials; the tag is v${version}. Next: npm publish .release/*.tgz, git push --tags`,
);
