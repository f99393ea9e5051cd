// The `Date` header of an HTTP answer: the one way to ask a store over HTTP what time it has.
// Written out because Date is not for stores (biome.json): it would make reading the local clock
// too easy.

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/**
 * UTC milliseconds of an IMF-fixdate (RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`), or `null`
 * for anything else.
 */
export function parseHttpDate(text: string | undefined): number | null {
  const parts = /^[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/.exec(
    text ?? '',
  );
  const month = months.indexOf(parts?.[2] ?? '') + 1;
  if (!parts || month === 0) return null;
  const [day, year, hour, minute, second] = [parts[1], parts[3], parts[4], parts[5], parts[6]].map(
    Number,
  ) as [number, number, number, number, number];
  return ((daysFrom1970(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000;
}

/**
 * Days of the Gregorian calendar; the year is counted from March, so that the leap day comes last.
 */
function daysFrom1970(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const marchMonth = (month + 9) % 12;
  const leapDays =
    Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return marchYear * 365 + leapDays + Math.floor((153 * marchMonth + 2) / 5) + day - 1 - 719_468;
}
