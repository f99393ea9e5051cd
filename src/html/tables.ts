// The columns of every table of the pages. The style sheet aligns them and, on a narrow screen,
// shows the title before each cell. So a cell needs no attribute; a report can have 55,000 of them.

/** `date` fits on a line. `wide` spans the width of a narrow screen. */
type Column = readonly [title: string, kind?: 'number' | 'date' | 'wide'];

export const tables = {
  accounts: [
    ['Account'],
    ['Status at the end', 'wide'],
    ['Days compliant / overdue / unknown / exempt', 'number'],
    ['Age, days', 'number'],
    ['Largest age, days', 'number'],
    ['Limit, days', 'number'],
    ['Next due', 'date'],
    ['Attempts succeeded / failed / unknown', 'number'],
    ['Last confirmed change', 'date'],
    ['Verified by login'],
    ['Record', 'number'],
  ],
  exceptions: [
    ['Account'],
    ['When', 'date'],
    ['What', 'wide'],
    ['Acknowledgement', 'wide'],
    ['Id', 'wide'],
  ],
  exempt: [
    ['Account'],
    ['Why', 'wide'],
    ['Approved by'],
    ['Recorded, last day'],
    ['Record', 'number'],
  ],
  controls: [
    ['Requirement'],
    ['Evidence in this report', 'wide'],
    ['Not covered by this report', 'wide'],
  ],
  samples: [['Record'], ['Account'], ['When', 'date'], ['What'], ['Proof files', 'wide']],
  status: [['Account'], ['Password age'], ['Status'], ['What to do', 'wide']],
} satisfies Readonly<Record<string, readonly Column[]>>;

export type TableName = keyof typeof tables;

const cells = Object.entries(tables).flatMap(([name, columns]) =>
  columns.map(([title, kind], index) => ({
    kind,
    selector: `.${name} tr>:nth-child(${index + 1})`,
    titleRule: `.${name} td:nth-child(${index + 1})::before{content:"${title}"}`,
  })),
);

/** The selectors of the cells of all columns of a kind. */
export const cellsOf = (kind: Column[1]): string =>
  cells.flatMap((cell) => (cell.kind === kind ? cell.selector : [])).join();

/** Rules with the title of the column before each cell. */
export const titleRules = cells.map(({ titleRule }) => titleRule).join('\n');
