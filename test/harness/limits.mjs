// Time limits of the tests. They end what hangs, and measure nothing. jest.config.mjs reads this
// file too, so it is JavaScript.

const given = process.env['TEST_TIMEOUT_FACTOR'] ?? '1';
const factor = Number(given);
if (!(factor >= 1 && factor <= 1000))
  throw new Error(`TEST_TIMEOUT_FACTOR takes a number from 1 to 1000, not "${given}".`);

/**
 * A limit in milliseconds, scaled for a slow machine: TEST_TIMEOUT_FACTOR=10 makes all of them ten
 * times as long.
 * @param {number} ms
 * @returns {number}
 */
export const limitMs = (ms) => Math.ceil(ms * factor);
