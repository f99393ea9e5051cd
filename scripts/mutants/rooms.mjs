// Which tests judge which room: those that run in one process, the fastest first. A test that
// starts the program is too slow to be run for each mutant.

export const rooms = {
  rotation: {
    atLeast: 90,
    tests: [
      'unit/rotation-transitions',
      'unit/rotation-decisions',
      'unit/rotation-loop',
      'unit/rotation-failure',
      'unit/rotation-deadline',
      'unit/rotation-policy',
      'unit/rotation-result',
      'unit/rotation-record',
      'unit/rotation-classify',
      'unit/rotation-machine',
      'unit/catalogue',
      'unit/retry',
      'unit/transcripts',
      'simulation/found',
      'simulation/every-way',
    ],
  },
  thingspace: {
    atLeast: 80,
    tests: [
      'unit/thingspace-error-body',
      'contract/thingspace-response-body',
      'contract/thingspace-connections',
      'contract/thingspace-doubt',
      'contract/thingspace-client',
    ],
  },
  stores: {
    atLeast: 80,
    tests: [
      'unit/secret-store',
      'contract/store-document',
      'contract/file-index',
      'contract/file-store',
      'contract/store',
      'contract/secrets-manager',
    ],
  },
  receipts: { atLeast: 80, tests: ['integration/receipts', 'integration/rotation'] },
  audit: {
    atLeast: 80,
    tests: [
      'unit/audit-checkpoint',
      'unit/audit-merkle',
      'unit/audit-end',
      'unit/audit-facts',
      'unit/audit-record',
      'unit/audit-query',
      'contract/audit-lock',
      'contract/audit-segments',
      'contract/audit-log',
      'integration/audit-log',
      'integration/audit-objects',
      'integration/audit-verdicts',
      'integration/audit-witness',
      'integration/audit-archive',
      'integration/audit-tamper',
    ],
  },
};
