// Two projects: `quick` is what CI also runs on the other Node releases; `whole` adds exploration, real
// kills, Chromium and the packaged program.
const common = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts', '.tsx'],
  transform: { '\\.tsx?$': '<rootDir>/scripts/jest-esbuild.mjs' },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.serverless/'],
  errorOnDeprecated: true,
};

export default {
  maxWorkers: 2,
  projects: [
    { ...common, displayName: 'quick', testMatch: ['<rootDir>/test/{unit,contract}/**/*.test.ts'] },
    {
      ...common,
      displayName: 'whole',
      testMatch: ['<rootDir>/test/{integration,simulation,e2e}/**/*.test.ts'],
    },
  ],
};
