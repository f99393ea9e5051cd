// Stories of what seeds reach too seldom. `npm run sim -- --reach` plays them, with all judges,
// before it counts what was reached.

import { reachedCrashes } from './reached.ts';
import { type Round, storyIn } from './story.ts';

const stories: readonly (readonly Round[])[] = [
  // The session is refused twice.
  [
    {
      mishaps: [
        ['reset', 'session refused'],
        ['reset', 'session refused'],
      ],
    },
  ],
  [{ mishaps: [['reset', 'not sent']] }],
  // The bytes of a response cannot be kept at once, or not at all.
  [
    {
      mishaps: [
        ['reset', 'garbage, done'],
        ['putAnswer', 'unavailable'],
      ],
    },
  ],
  [
    {
      mishaps: [
        ['reset', 'garbage, done'],
        ['putAnswer', 'crash'],
      ],
    },
  ],
  // Deaths around a suspension and an outcome.
  [
    {
      mishaps: [
        ['log in', 'refused'],
        ['putRecord stopped', 'crash'],
      ],
    },
  ],
  [
    {
      mishaps: [
        ['log in', 'refused'],
        ['append account.stopped', 'crash'],
      ],
    },
  ],
  [
    {
      mishaps: [
        ['reset', 'refused'],
        ['append rotation.outcome', 'crash'],
      ],
    },
  ],
  // The login that decides gets no answer, or is not sent.
  ...(['dropped', 'not sent'] as const).map((event): Round[] => [
    { mishaps: [['reset', 'dropped']] },
    { after: 200, mishaps: [['log in', event]] },
  ]),
  // The login that proves a later password gets no answer, or is not sent.
  ...(['dropped', 'not sent'] as const).map((event): Round[] => [
    {},
    { after: 200, by: 'operator stores the old password', mishaps: [['log in', event]] },
  ]),
  [{ mishaps: [['reset', 'crash']] }],
  [{ mishaps: [['putPending', 'crash']] }, { after: 200 }],
  [{ mishaps: [['promote', 'crash']] }, { after: 200, mishaps: [['log in', 'refused']] }],
  // Three logins whose answers are lost spend the limit.
  [
    ...[0, 200, 200].map((after): Round => ({ after, mishaps: [['log in', 'dropped']] })),
    { after: 200 },
  ],
  [{ act: 'check', mishaps: [['log in', 'dropped']] }],
  // Permissions, the audit log and other people.
  [
    {
      mishaps: [
        ['reset', 'garbage, done'],
        ['putAnswer', 'denied'],
      ],
    },
  ],
  [{ mishaps: [['append secret.stored', 'down for a while']] }],
  [{ act: 'native rotation', mishaps: [['putPending', 'somebody stages a password']] }],
  [{ by: 'somebody stages a password' }],
  [
    { by: 'somebody makes a backup' },
    { after: 1, by: 'somebody restores the backup' },
    { after: 100 },
  ],
  // Another process takes over while the answer to the login is not read.
  [
    {
      processes: [{ acts: ['rotate'] }, { acts: [[100, 'rotate']] }],
      mishaps: [['p1 log in', 'answered, then paused past the settle time']],
    },
  ],
];

export async function playRare(): Promise<void> {
  for (const rounds of stories) await storyIn({ receipts: 'readable' }, ...rounds);
  for (const rounds of stories)
    reachedCrashes(
      rounds.flatMap(({ mishaps = [] }) =>
        mishaps.map(([call, mishap]) => ({ atMs: 0, process: '', call, mishap })),
      ),
    );
}
