// Changes that must be detected: `npm run mutants -- --examples`. The first eleven are the findings
// of protocol 2 on version 0.1 (docs/ROTATION.md), and the simulation must detect them; that of 0.1
// explored 247,000 worlds and found none. The others survived every test of 0.1.

const simulation = ['simulation/found', 'simulation/every-way'];

export const examples = [
  {
    title: 'F1: the token of Secrets Manager is used although its version has a value',
    changes: [
      {
        file: 'rotation/transitions/survey.ts',
        from: 'if (request.native && details.versions.get(request.native.rotationId)) {',
        to: 'if (false) {',
      },
      {
        file: 'rotation/rotate.ts',
        from: "request.purpose === 'rotate' ? request.native?.rotationId : undefined;",
        to: 'undefined;',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F2: a rotation counts as open only while AWSCURRENT has not moved',
    changes: [
      {
        file: 'rotation/classify.ts',
        from: 'return isClosed ? undefined : open;',
        to: 'return isClosed || (open && current.versionId !== open.basis) ? undefined : open;',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F3: the store waits for a receipt that never ends',
    changes: [
      {
        file: 'rotation/rotate.ts',
        from: 'attempt.receiptDone = Promise.race([finished, patience]);',
        to: 'attempt.receiptDone = finished;',
      },
      {
        file: 'rotation/rotate.ts',
        from: 'thingspace.connectAhead(); // For the verifying login.',
        to: 'await attempt.receiptDone;',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F4: a reset is sent although the secret has no room for the new password',
    changes: [
      {
        file: 'rotation/rotate.ts',
        from: 'needsRoom ? tried(checkRoom(store, clock)) :',
        to: 'false ? tried(checkRoom(store, clock)) :',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F5: a sealed receipt is ignored',
    changes: [
      { file: 'rotation/classify.ts', from: 'if (receipt) return {', to: 'if (false) return {' },
    ],
    tests: simulation,
  },
  {
    title: 'F6: an old password that somebody stored again is in order',
    changes: [
      {
        file: 'rotation/classify.ts',
        from: 'const restored = isNewest ? null : replacedPassword(evidence, details);',
        to: 'const restored = null;',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F7: the verifying login stays counted after its success',
    changes: [
      {
        file: 'rotation/transitions/save.ts',
        from: 'record: released(state, at, record, 0, { history }),\n      session,',
        to: 'record: released(state, at, record, 1, { history }),\n      session,',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F8: a response that cannot be read is discarded',
    changes: [
      {
        file: 'rotation/transitions/reset.ts',
        from: 'if (answer.body === undefined) return inDoubt',
        to: 'if (true) return inDoubt',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F9: an outdated read of AWSCURRENT is believed',
    changes: [
      {
        file: 'rotation/transitions/survey.ts',
        from: 'if (fresher === null) return follow',
        to: 'if (true) return follow',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F10: a reset that was never sent is recorded as in doubt',
    changes: [
      {
        file: 'rotation/transitions/survey.ts',
        from: 'return evidence.openIntents.find(',
        to: 'return [].find(',
      },
    ],
    tests: simulation,
  },
  {
    title: 'F11: a suspension is in the audit log although its record was not written',
    changes: [
      {
        file: 'rotation/rotate.ts',
        from: "const isMissing = isFirst && (await writing) !== 'written';",
        to: 'const isMissing = false;',
      },
    ],
    tests: simulation,
  },
  {
    title:
      'the login that tests the current password ends every attempt, so that nothing is rotated',
    changes: [
      {
        file: 'rotation/transitions/claim.ts',
        from: "if (request.purpose === 'recover' || !isNextDue)",
        to: 'if (true)',
      },
    ],
    tests: ['unit/transcripts', 'simulation/found', 'simulation/every-way'],
  },
  {
    title: 'a rotation that is due is followed for every purpose, so that a check can rotate',
    changes: [
      {
        file: 'rotation/transitions/survey.ts',
        from: "const mayClaim = request.purpose === 'rotate' && hasLogins &&",
        to: 'const mayClaim = hasLogins &&',
      },
    ],
    tests: ['unit/transcripts', 'integration/rotation'],
  },
  {
    title: 'a check carries an open rotation on',
    changes: [
      {
        file: 'rotation/transitions/survey.ts',
        from: "if (state.request.purpose === 'check')\n",
        to: 'if (false)\n',
      },
    ],
    tests: ['unit/transcripts', 'integration/rotation'],
  },
  {
    title: 'the receipt is deleted although the outcome is not durable',
    changes: [
      {
        file: 'rotation/rotate.ts',
        from: "const isClosed = !(durable instanceof Failure) && written === 'written';",
        to: 'const isClosed = true;',
      },
    ],
    tests: ['unit/transcripts', 'simulation/every-way'],
  },
  {
    title: 'a login that was not sent is counted',
    changes: [
      {
        file: 'rotation/transitions/claim.ts',
        from: "if (login.login === 'not-sent') {\n    const reason",
        to: 'if (false) {\n    const reason',
      },
    ],
    tests: ['unit/transcripts', 'simulation/found'],
  },
  {
    title: 'a verifying login that was not sent is counted',
    changes: [
      {
        file: 'rotation/transitions/save.ts',
        from: "const spent = login.login === 'not-sent' ? 0 : 1;",
        to: 'const spent = 1;',
      },
    ],
    tests: ['unit/transcripts', 'simulation/found'],
  },
  {
    title: 'the receipt is not fsynced',
    changes: [{ file: 'receipts/receipts.ts', from: 'await file.sync();', to: '' }],
    tests: ['integration/receipts'],
  },
  {
    title: 'the folder of the receipt is not fsynced',
    changes: [{ file: 'receipts/receipts.ts', from: 'await folder.sync();', to: '' }],
    tests: ['integration/receipts'],
  },
  {
    title: "the auditor's column verified_by_login is never set",
    changes: [
      {
        file: 'report/export.ts',
        from: 'verified_by_login: lastChange?.verified ?? false',
        to: 'verified_by_login: false',
      },
    ],
    tests: ['unit/report-verified'],
  },
  {
    title: 'a report does not know that a login verified the password',
    changes: [
      {
        file: 'report/history.ts',
        from: "attempt.verified ||= view.verifiedBy === 'login';",
        to: '',
      },
    ],
    tests: ['unit/report-verified'],
  },
  {
    title: 'an altered log is recorded as verified with success',
    changes: [
      {
        file: 'audit/record.ts',
        from: "event.state === 'altered' ? 'failure' : 'success'",
        to: "'success'",
      },
    ],
    tests: ['unit/audit-record'],
  },
];
