// Accounts whose secrets hold the same ThingSpace user. A rotation of one account would make the
// stored password of the other one invalid, so callers rotate none of them. Pure.

/** The names of the accounts of each ThingSpace user that more than one account holds. */
export function findSharedUsers(
  accounts: Iterable<{ readonly account: string; readonly username?: string | undefined }>,
): string[][] {
  const namesOf = new Map<string, string[]>();
  for (const { account, username } of accounts)
    if (username !== undefined) namesOf.set(username, [...(namesOf.get(username) ?? []), account]);
  return [...namesOf.values()].filter((names) => names.length > 1);
}

/** The sentence about one group of accounts; it does not print the user name. */
export function describeSharedUser(names: readonly string[]): string {
  const accounts = names.join(' and ');
  return `accounts ${accounts} have the same ThingSpace user; each account needs its own`;
}
