// Two projects. `quick`: unit and contract tests, which CI also runs on the other Node releases. `slow`:
// real servers and processes, the simulation, Chromium, and the packaged program.
import { limitMs } from './test/harness/limits.mjs';
import { isComplete, part } from './test/harness/part.mjs';

// One line per suite: the AWS SDK warns once per worker that it will drop Node 20.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';

// The suites that start programs, in quarters of the same length. CI runs all of them. Without `CI`,
// a run without arguments has one quarter, another one every day, so that it ends in four minutes.
const quarters = [
  'e2e/(audit-report|kill|serve)|integration/(lambda-steps|serve-http|lights)',
  'e2e/(matrix|cli|readme|by-hand)|integration/(audit-doc|lambda-scheduled)',
  'e2e/(status-page|light-findings|audit-findings|findings|two-instances|lambda-kill)' +
    '|integration/store-crash',
  'e2e/(package|report-findings|upgrade)' +
    '|integration/(lambda-iam|lambda-alarms|audit-crash|serve-fleet)',
];
const isQuarter = process.argv.length === 2 && !process.env['CI'] && !isComplete;
const day = Math.floor(part / 24);
const others = isQuarter ? quarters.filter((_, index) => index !== day % 4) : [];

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
