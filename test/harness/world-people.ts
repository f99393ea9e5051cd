// What people and other programs do to an account, at any moment.

import {
  beginsAtMs,
  copySecret,
  currentOf,
  idOf,
  labelled,
  lastSuspension,
  moveLabel,
  nameOf,
  newestRecord,
  passwordOf,
  passwordsIn,
  putByHand,
  roomIn,
  setPassword,
  storeVersion,
  unlock,
  type World,
} from './world.ts';

export const handiwork = {
  /** Edits another key: a new version with the same password. */
  'operator edits a note': (world: World): void =>
    putByHand(world, currentOf(world).password, nameOf(world, 'note')),
  'operator stores a wrong password': (world: World): void =>
    putByHand(world, nameOf(world, '§wrong'), currentOf(world).note),
  /** Terraform, or a person, writes the password of before, as a new version. */
  'operator stores the old password': (world: World): void => {
    const previous = passwordOf(world, labelled(world, 'AWSPREVIOUS')?.id);
    if (previous !== null) putByHand(world, previous, currentOf(world).note);
  },
  'operator moves AWSCURRENT back': (world: World): void => {
    const previous = labelled(world, 'AWSPREVIOUS');
    const password = passwordOf(world, previous?.id);
    if (!previous || password === null) return;
    moveLabel(world, 'AWSCURRENT', previous.id);
    world.byHand.add(password);
  },
  'operator moves ROTATION back': (world: World): void => {
    const records = world.secret.versions.filter(({ value }) =>
      JSON.stringify(value).includes('thingspace-rotator/attempt/'),
    );
    const before = records.at(-2);
    if (before) moveLabel(world, 'ROTATION', before.id);
  },
  'operator removes AWSPENDING': (world: World): void => moveLabel(world, 'AWSPENDING', null),
  /** Somebody else stages a value, in the empty version of Secrets Manager where there is one. */
  'somebody stages a password': (world: World): void => {
    const pending = labelled(world, 'AWSPENDING');
    const id = pending && pending.value === null ? pending.id : idOf(nameOf(world, 'staged'));
    storeVersion(world, id, nameOf(world, '§staged'), 'AWSPENDING');
  },
  /** A file store is copied, and the copy takes its place later. */
  'somebody makes a backup': (world: World): void => {
    world.backup = copySecret(world.secret);
  },
  'somebody restores the backup': (world: World): void => {
    if (!world.backup) return;
    const before = passwordsIn(world);
    world.secret = copySecret(world.backup);
    const after = passwordsIn(world);
    const { sequence = 0, loginsSpent = 0 } = newestRecord(world) ?? {};
    // An audited suspension shows that the store is an older copy.
    if ((lastSuspension(world)?.attemptRecord ?? 0) <= sequence)
      world.forgottenStrikes = Math.max(world.forgottenStrikes, world.strikes - loginsSpent);
    for (const answer of world.answers)
      answer.isForgotten ||= before.includes(answer.password) && !after.includes(answer.password);
    world.secret.changedMs = beginsAtMs + world.nowMs;
    world.byHand.add(currentOf(world).password);
  },
  /** Verizon support resets the password, which also unlocks the user, and somebody stores it. */
  'operator stores the right password': (world: World): void => {
    unlock(world);
    setPassword(world, nameOf(world, '§support'));
    world.sessions = [];
    putByHand(world, world.live, currentOf(world).note);
  },
  /** Another program with the same user has an old password. */
  'another program fails to log in': (world: World): void => {
    world.foreignStrikes += 1;
  },
  /** Another account, with the same user in another secret, is rotated on another machine. */
  'another account resets the same user': (world: World): void => {
    unlock(world);
    setPassword(world, nameOf(world, '§other'));
    world.sessions = [];
  },
  /** Another program stores one version after the other, and leaves room for two. */
  'another program fills the secret': (world: World): void => {
    while (roomIn(world) > 2) putByHand(world, currentOf(world).password, currentOf(world).note);
  },
} as const;

export type Handiwork = keyof typeof handiwork;

/** Whether it would change anything now. */
export function isPossible(deed: Handiwork, world: World): boolean {
  switch (deed) {
    case 'operator moves AWSCURRENT back':
    case 'operator stores the old password':
      return labelled(world, 'AWSPREVIOUS') !== undefined;
    case 'operator moves ROTATION back':
      return labelled(world, 'ROTATION') !== undefined;
    case 'operator removes AWSPENDING':
      return labelled(world, 'AWSPENDING') !== undefined;
    case 'somebody restores the backup':
      return world.backup !== null;
    case 'somebody stages a password': {
      // Who stores a value under the token of a rotation that is open, or planned, gives it a
      // password.
      const newest = newestRecord(world);
      const planned = newest?.phase === 'claimed' ? newest.planned : undefined;
      const pending = labelled(world, 'AWSPENDING')?.id;
      return pending === undefined || ![newest?.open?.rotationId, planned].includes(pending);
    }
    default:
      return true;
  }
}
