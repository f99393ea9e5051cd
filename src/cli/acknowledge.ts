// audit acknowledge: a person reviewed an exception of the report. Only what is an exception can be
// acknowledged, so that a wrong id is not taken for a review.

import { openVerifiers } from '../app.ts';
import { findRecord, listRecords } from '../audit/query.ts';
import { UsageError } from '../config/errors.ts';
import { parseFreeText } from '../order.ts';
import { buildReport } from '../report/build.ts';
import { type Session, withSession } from './context.ts';
import { printResult, type Shell } from './terminal.ts';

export async function auditAcknowledge(
  shell: Shell,
  flags: { note: string; account?: string },
  exceptionId: string,
): Promise<void> {
  const note = parseFreeText('--note', flags.note);
  return withSession(shell, async (session) => {
    const { audit } = session.rotator;
    if (!(await isException(session, exceptionId)))
      throw new UsageError(
        `There is no exception ${exceptionId}. \`audit report\` and \`audit verify\` print the ` +
          'ids.',
      );
    const { account } = flags;
    const trigger = session.trigger('manual');
    await audit.append([{ code: 'exception.acknowledged', exceptionId, note, account, trigger }]);
    await audit.checkpoint();
    printResult(shell, { acknowledged: exceptionId }, `Acknowledged ${exceptionId}.`);
  });
}

/** Whether a report of some period has an exception with this id. */
async function isException({ config, clock, rotator }: Session, id: string): Promise<boolean> {
  const { source } = rotator.audit;
  const [, kind, subject = '', end = ''] = /^(failures|store):(.+):([\d-]+)$/.exec(id) ?? [];
  // The newest failure of a reason depends on the period, and the store is not asked here.
  if (kind === 'failures') return (await findRecord(source, end))?.view.reason === subject;
  if (kind === 'store') return (await rotator.accounts()).some(({ name }) => name === subject);
  const nowMs = clock.nowMs();
  let fromMs = nowMs - 1;
  for await (const { view } of listRecords(source, {})) {
    fromMs = Math.min(view.timeMs, fromMs);
    break;
  }
  const { report } = await buildReport({
    source,
    verifiers: await openVerifiers(config, clock),
    fromMs,
    toMs: nowMs,
    nowMs,
    origin: config.audit.origin ?? '',
    accounts: null,
    store: null,
    policy: config.policy,
    sampleCount: 0,
  });
  return report.exceptions.some((exception) => exception.id === id);
}
