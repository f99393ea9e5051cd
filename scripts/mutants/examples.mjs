// Changes that survived every test of version 0.1. Each must be detected: `npm run mutants --
// --examples`.

export const examples = [
  {
    title:
      'the login that tests the current password ends every attempt, so that nothing is rotated',
    file: 'rotation/transitions/claim.ts',
    from: "if (request.purpose === 'recover') return ending(tested",
    to: 'if (true) return ending(tested',
    tests: ['unit/transcripts', 'simulation/found', 'simulation/every-way'],
  },
  {
    title: 'a rotation that is due is followed for every purpose, so that a check can rotate',
    file: 'rotation/transitions/survey.ts',
    from: "isDue && hasLogins && request.purpose === 'rotate' &&",
    to: 'isDue && hasLogins &&',
    tests: ['unit/transcripts', 'integration/rotation'],
  },
  {
    title: 'a check carries an open rotation on',
    file: 'rotation/transitions/survey.ts',
    from: "if (state.request.purpose === 'check')\n",
    to: 'if (false)\n',
    tests: ['unit/transcripts', 'integration/rotation'],
  },
  {
    title: 'the receipt is deleted although the outcome is not durable',
    file: 'rotation/rotate.ts',
    from: "const isClosed = !(durable instanceof Failure) && written === 'written';",
    to: 'const isClosed = true;',
    tests: ['unit/transcripts', 'simulation/every-way'],
  },
  {
    title: 'a login that was not sent is counted',
    file: 'rotation/transitions/claim.ts',
    from: "if (login.login === 'not-sent') {\n    const reason",
    to: 'if (false) {\n    const reason',
    tests: ['unit/transcripts', 'simulation/found'],
  },
  {
    title: 'a verifying login that was not sent is counted',
    file: 'rotation/transitions/save.ts',
    from: "const spent = login.login === 'not-sent' ? 0 : 1;",
    to: 'const spent = 1;',
    tests: ['unit/transcripts', 'simulation/found'],
  },
  {
    title: 'the receipt is not fsynced',
    file: 'receipts/receipts.ts',
    from: 'await file.sync();',
    to: '',
    tests: ['integration/receipts'],
  },
  {
    title: 'the folder of the receipt is not fsynced',
    file: 'receipts/receipts.ts',
    from: 'await folder.sync();',
    to: '',
    tests: ['integration/receipts'],
  },
  {
    title: "the auditor's column verified_by_login is never set",
    file: 'report/export.ts',
    from: 'verified_by_login: row.lastChange?.verified ?? false',
    to: 'verified_by_login: false',
    tests: ['unit/report-verified'],
  },
  {
    title: 'a report does not know that a login verified the password',
    file: 'report/history.ts',
    from: "attempt.verified ||= view.verifiedBy === 'login';",
    to: '',
    tests: ['unit/report-verified'],
  },
  {
    title: 'an altered log is recorded as verified with success',
    file: 'audit/record.ts',
    from: "event.state === 'altered' ? 'failure' : 'success'",
    to: "'success'",
    tests: ['unit/audit-record'],
  },
];
