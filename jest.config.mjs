// Two projects. `quick`: unit and contract tests, which CI also runs on the other Node releases. `slow`:
// real servers and processes, the simulation, Chromium, and the packaged program.
const common = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts', '.tsx'],
  transform: { '\\.tsx?$': '<rootDir>/scripts/jest-esbuild.mjs' },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.serverless/'],
  errorOnDeprecated: true,
};

export default {
  maxWorkers: 2,
  // Limits end what hangs; they measure nothing. A busy machine needs many times the usual second.
  testTimeout: 60_000,
  projects: [
    { ...common, displayName: 'quick', testMatch: ['<rootDir>/test/{unit,contract}/**/*.test.ts'] },
    {
      ...common,
      displayName: 'slow',
      testMatch: ['<rootDir>/test/{integration,simulation,e2e}/**/*.test.ts'],
    },
  ],
};
