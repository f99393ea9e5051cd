// Two projects. `quick`: unit and contract tests, which CI also runs on the other Node releases. `slow`:
// real servers and processes, the simulation, Chromium, and the packaged program.
import { limitMs } from './test/harness/limits.mjs';

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
  projects: [
    { ...common, displayName: 'quick', testMatch: ['<rootDir>/test/{unit,contract}/**/*.test.ts'] },
    {
      ...common,
      displayName: 'slow',
      testMatch: ['<rootDir>/test/{integration,simulation,e2e}/**/*.test.ts'],
    },
  ],
};
