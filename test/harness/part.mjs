// Which part of the cases runs: another one every hour. MATRIX=complete runs all, MATRIX=3 the part
// with that number.

const matrix = process.env['MATRIX'] ?? '';

export const isComplete = matrix === 'complete';
export const part = /^\d+$/.test(matrix) ? Number(matrix) : Math.floor(Date.now() / 3_600_000);
