// Builds what is deployed to AWS: the functions in one zip, and the CloudFormation template that
// osls generates from serverless.yml. Works offline and without credentials. The same sources give
// the same bytes, so that a second deployment changes nothing.
//
//   npm run package                      .package/function.zip and a template in .package/osls/
//   npm run package -- --param vpc=on …  parameters of serverless.yml
//   npm run package -- --out DIR         another folder
//   npm run package -- --zip-only        without osls

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { bundleFunction } from './function-bundle.mjs';
import { zip } from './zip.mjs';

const root = join(import.meta.dirname, '..');
const args = process.argv.slice(2);
const outAt = args.indexOf('--out');
const out = resolve(root, outAt < 0 ? '.package' : (args.splice(outAt, 2)[1] ?? '.package'));
const zipOnlyAt = args.indexOf('--zip-only');
const isZipOnly = zipOnlyAt >= 0 && args.splice(zipOnlyAt, 1).length > 0;

const { files, metafile } = await bundleFunction();
const artifact = zip(files);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
writeFileSync(join(out, 'function.zip'), artifact);
writeFileSync(join(out, 'function-meta.json'), JSON.stringify(metafile));
const kB = (size) => `${Math.round(size / 1000)} kB`;
const bytes = files.reduce((sum, { contents }) => sum + contents.length, 0);
const sizes = `${kB(bytes)} in ${files.length} files, ${kB(artifact.length)} zipped`;
console.log(`${relative(root, join(out, 'function.zip'))}: ${sizes}`);

if (!isZipOnly) {
  // Without npx, and without the variables that would let npm or AWS use the network.
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules/osls/bin/serverless.js'),
      'package',
      '--package',
      join(out, 'osls'),
      ...args,
    ],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        ROTATOR_PACKAGE_ZIP: relative(root, join(out, 'function.zip')),
      },
    },
  );
  console.log(`${relative(root, join(out, 'osls'))}/cloudformation-template-update-stack.json`);
}
