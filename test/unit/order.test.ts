// One schema of an order serves the command line, the HTTP interface and the functions.

import { UsageError } from '../../src/config/errors.ts';
import { maxTextLength, type OrderPlace, parseFreeText, parseOrder } from '../../src/order.ts';

/** The sentences with which an order is rejected. */
function problemsOf(input: unknown, place: OrderPlace, fixed = {}): readonly string[] {
  try {
    parseOrder(input, place, fixed);
  } catch (error) {
    if (error instanceof UsageError) return error.problems;
    throw error;
  }
  return [];
}

test('an order keeps what is given, trims its texts and fills in the rest', () => {
  const order = parseOrder({ reason: ' employee left ', changeRef: 'CHG-7' }, 'request body', {
    action: 'rotate',
    accounts: ['fleet-east'],
    idempotencyKey: 'a-1',
  });

  expect(order).toEqual({
    action: 'rotate',
    accounts: ['fleet-east'],
    force: false,
    reason: 'employee left',
    changeRef: 'CHG-7',
    idempotencyKey: 'a-1',
  });
});

test('a text may have 1024 characters in every place, and not one more', () => {
  const longest = 'x'.repeat(maxTextLength);

  for (const place of ['command line', 'request body', 'event'] as const) {
    expect(problemsOf({ reason: longest }, place, { action: 'rotate' })).toEqual([]);
    expect(problemsOf({ reason: `${longest}x` }, place, { action: 'rotate' })).toHaveLength(1);
  }
  expect(parseFreeText('--note', longest)).toBe(longest);
});

test.each<[OrderPlace, object, object, string]>([
  [
    'command line',
    { reason: 'two\nlines' },
    { action: 'rotate' },
    '--reason takes 1 to 1024 characters on one line, without control characters.',
  ],
  [
    'command line',
    { changeRef: ' ' },
    { action: 'rotate' },
    '--change-ref takes 1 to 1024 characters on one line, without control characters.',
  ],
  [
    'request body',
    { force: 'yes' },
    { action: 'rotate' },
    '"force" in the request body takes true or false.',
  ],
  [
    'request body',
    { accounts: [] },
    { action: 'rotate' },
    'The request body has an unknown key. Use one of: force, reason, changeRef.',
  ],
  [
    'request body',
    {},
    { action: 'rotate', idempotencyKey: 'a b' },
    'The header Idempotency-Key takes 1 to 255 visible ASCII characters.',
  ],
  [
    'command line',
    { idempotencyKey: '' },
    { action: 'rotate' },
    '--idempotency-key takes 1 to 255 visible ASCII characters.',
  ],
  [
    'event',
    { action: 'rotate', idempotencyKey: 7 },
    {},
    '"idempotencyKey" in the event takes 1 to 255 visible ASCII characters.',
  ],
  ['event', { action: 'rotat' }, {}, '"action" in the event takes rotate, check, recover, resume.'],
  [
    'event',
    { action: 'rotate', acounts: [] },
    {},
    'The event has an unknown key. Did you mean "accounts"?',
  ],
  [
    'event',
    { action: 'rotate', accounts: ['a', 7] },
    {},
    '"accounts" in the event takes a list of account names.',
  ],
  [
    'event',
    { action: 'resume', accounts: ['a'] },
    {},
    'resume needs "reason" in the event: why rotation may continue.',
  ],
  [
    'event',
    { action: 'resume', reason: 'fixed' },
    {},
    'resume needs "accounts" in the event: which accounts to resume.',
  ],
])(
  'a mistake in the %s names the key, the place and what is accepted: %j',
  (place, input, fixed, expected) => {
    expect(problemsOf(input, place, fixed)).toEqual([expected]);
  },
);

test('every mistake of an order is named at once, and no value is repeated', () => {
  const problems = problemsOf(
    { action: 'hunter2', force: 'hunter2', reason: ['hunter2'], hunter2: 1 },
    'event',
  );

  expect(problems).toHaveLength(4);
  expect(problems.join('\n')).not.toContain('hunter2');
});

test.each([null, 7, 'rotate', []])('%j is not an order', (input) => {
  expect(problemsOf(input, 'event')).toEqual(['The event takes a JSON object.']);
});
