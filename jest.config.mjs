// Two projects. `quick`: unit and contract tests, which CI also runs on the other Node releases. `slow`:
// real servers and processes, the simulation, Chromium, and the packaged program.
import { limitMs } from './test/harness/limits.mjs';
import { isComplete, part } from './test/harness/part.mjs';

// One line per suite: the AWS SDK warns once per worker that it will drop Node 20.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';

// The suites that start programs, in thirds of the same length. CI runs all of them. Without `CI`, a
// run without arguments has one third, another one every day, so that it ends in four minutes.
const thirds = [
  'e2e/(audit-report|kill|serve|findings|lambda-kill)|integration/(serve-http|lights|store-crash)',
  'e2e/(matrix|cli|readme|upgrade|by-hand)|integration/(lambda-alarms|audit-doc|lambda-scheduled)',
  'e2e/(status-page|light-findings|audit-findings|two-instances|package|report-findings)' +
    '|integration/(lambda-iam|lambda-steps|audit-crash|serve-fleet)',
];
const isThird = process.argv.length === 2 && !process.env['CI'] && !isComplete;
const day = Math.floor(part / 24);
const others = isThird ? thirds.filter((_, index) => index !== day % 3) : [];

const common = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts', '.tsx'],
  transform: { '\\.tsx?$': '<rootDir>/scripts/jest-esbuild.mjs' },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.serverless/'],
  errorOnDeprecated: true,
};

export default {
  maxWorkers: 2,
  testTimeout: limitMs(300_000),
  // No suite keeps its worker alive. After fifty suites on a busy machine, the end takes longer than
  // the half second after which Jest prints a warning.
  workerGracefulExitTimeout: limitMs(20_000),
  // `npm run coverage`. istanbul's instrumentation does not see modules that Jest loads as ESM.
  coverageProvider: 'v8',
  collectCoverageFrom: ['src/**/*.{ts,tsx}'],
  coverageReporters: ['text', 'json'],
  projects: [
    { ...common, displayName: 'quick', testMatch: ['<rootDir>/test/{unit,contract}/**/*.test.ts'] },
    {
      ...common,
      displayName: 'slow',
      testMatch: ['<rootDir>/test/{integration,simulation,e2e}/**/*.test.ts'],
      testPathIgnorePatterns: others.map((names) => `<rootDir>/test/(${names}).test.ts`),
    },
  ],
};
