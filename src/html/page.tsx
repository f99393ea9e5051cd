// The frame of every page: one layout, one style sheet, the escaping of JSX. A page holds no script
// and loads nothing; its policy allows the style sheet by its hash, so no element has a `style`
// attribute. Callers pass text as it is, and names as `<Name>`.

import { createHash } from 'node:crypto';
import type { Child, PropsWithChildren } from 'hono/jsx';
import { raw } from 'hono/utils/html';
import { printable } from '../text.ts';
import { distance, isoDay, isoTime } from '../time.ts';
import { styleSheet } from './style.ts';
import { type TableName, tables } from './tables.ts';

const styleHash = createHash('sha256').update(styleSheet).digest('base64');

/** The Content-Security-Policy of every page, in the document and in the header of the response. */
export const contentPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${styleHash}'`,
  "form-action 'self'",
  "base-uri 'none'",
].join('; ');

/** How serious something is. Every tone is also a word on the page. */
export type Tone = 'good' | 'warn' | 'bad' | 'doubt' | 'plain';

type PageProps = PropsWithChildren<{
  /** In the title bar of the browser. */
  title: string;
  heading: string;
  /** One line under the heading. */
  about: Child;
  footer: Child;
}>;

export const Page = ({ title, heading, about, footer, children }: PageProps) => (
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="robots" content="noindex" />
      <meta http-equiv="Content-Security-Policy" content={contentPolicy} />
      <title>{title}</title>
      <style>{raw(styleSheet)}</style>
    </head>
    <body>
      <header>
        <h1>{heading}</h1>
        <p class="soft">{about}</p>
      </header>
      <main>{children}</main>
      <footer>{footer}</footer>
    </body>
  </html>
);

/**
 * The document of a `<Page>`, whose components are all synchronous. It is ASCII: Chromium decodes
 * a document several times slower after one other character.
 */
export const renderPage = (page: { toString(): unknown }): string =>
  `<!doctype html>\n${page}\n`.replace(
    /[^\0-\x7f]/gu,
    (character) => `&#${character.codePointAt(0)};`,
  );

type SectionProps = PropsWithChildren<{ id: string; title: string }>;

/** A part of a page with a heading that links and screen readers find. */
export const Section = ({ id, title, children }: SectionProps) => (
  <section aria-labelledby={id}>
    <h2 id={id}>{title}</h2>
    {children}
  </section>
);

/** A name from outside: invisible characters are shown, and the text direction ends with it. */
export const Name = ({ of }: { of: string }) => <bdi>{printable(of)}</bdi>;

/** `2026-11-23 03:17 UTC`; with `nowMs` also the distance: `, in 4 min`. */
export const Time = ({ ms, nowMs }: { ms: number; nowMs?: number | undefined }) => (
  <>
    <time datetime={isoTime(ms)}>{`${isoTime(ms).slice(0, 16).replace('T', ' ')} UTC`}</time>
    {nowMs === undefined ? '' : `, ${distance(ms - nowMs)}`}
  </>
);

/** `2026-11-23`, or a dash. */
export const Day = ({ ms }: { ms: number | null }) =>
  ms === null ? <>—</> : <time>{isoDay(ms)}</time>;

type TagProps = PropsWithChildren<{ tone: Tone; id?: string | undefined }>;

export const Tag = ({ tone, id, children }: TagProps) => (
  <span id={id} class={`tag ${tone}`}>
    {children}
  </span>
);

/** Names and values, in columns where there is room. */
export const Facts = ({ of }: { of: readonly (readonly [string, Child])[] }) => (
  <dl class="facts">
    {of.map(([name, value]) => (
      <div>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
);

/** So many rows are laid out together, when a reader scrolls to them. */
const chunkSize = 100;

/** A list in parts. */
export const mapChunks = <Item,>(
  items: readonly Item[],
  render: (part: readonly Item[], from: number) => Child,
): Child[] =>
  items.flatMap((_, from) => {
    if (from % chunkSize !== 0) return [];
    const part = items.slice(from, from + chunkSize);
    return <div class={part.length === chunkSize ? 'chunk' : undefined}>{render(part, from)}</div>;
  });

type TableProps = { name: TableName; label: string; rows: readonly (readonly Child[])[] };

/** A table, whose rows become cards on a narrow screen. The first cell is the head of its row. */
export const Table = ({ name, label, rows }: TableProps) => (
  <>
    {mapChunks(rows, (part, from) => (
      <table class={name} aria-label={from === 0 ? label : `${label}, from number ${from + 1}`}>
        <thead>
          <tr>
            {tables[name].map(([title]) => (
              <th scope="col">{title}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {part.map(([head, ...cells]) => (
            <tr>
              <th scope="row">{head}</th>
              {cells.map((cell) => (
                <td>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    ))}
  </>
);
