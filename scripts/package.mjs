// What goes to AWS: the functions in one zip, and the CloudFormation template that osls makes of serverless.yml. Offline, without
// credentials. The same sources give the same bytes, so that a deployment without a change changes nothing.
//
//   npm run package                      .package/function.zip, .package/osls/cloudformation-template-update-stack.json
//   npm run package -- --param vpc=on …  parameters of serverless.yml
//   npm run package -- --out DIR         somewhere else
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
const bytes = files.reduce((sum, { contents }) => sum + contents.length, 0);
console.log(
  `${relative(root, join(out, 'function.zip'))}: ${Math.round(bytes / 1000)} kB in ${files.length} files, ${Math.round(artifact.length / 1000)} kB zipped`,
);

if (!isZipOnly) {
  // Not through npx, and without the variables that would make npm or AWS talk to somebody.
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
