// Text of other people, made safe to print: in a terminal, a page or a CSV file. Pure.

/**
 * `text` with control characters, format characters and line separators as `\uXXXX`. A character
 * that is not visible can make one name resemble another, or change the direction of writing.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

/** `1 account`, `2 accounts`. */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;
