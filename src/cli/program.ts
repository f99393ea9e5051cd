// The commands, their flags and examples. A command's code is loaded when it runs; nothing here is
// heavier than commander. Every description is a sentence (test/unit/help.test.ts).

import { Argument, Command, CommanderError, Option } from 'commander';
import { WrongInput } from '../audit/findings.ts';
import { UsageError } from '../config/errors.ts';
import { explanationLines } from '../rotation/catalogue.ts';
import { exitCodeOf, Failure, failures } from '../rotation/failure.ts';
import { version } from '../version.ts';
import type { ArchiveFlags } from './archive.ts';
import type { ReportFlags } from './report.ts';
import { type CommonFlags, type Shell, tell } from './terminal.ts';
import type { WitnessFlags } from './witness.ts';

/** The service, which is an entry point and therefore passed in. */
export type Serve = (shell: Shell, flags: CommonFlags) => Promise<number>;

/** Runs what the arguments ask for; the exit code. Throws only bugs. */
export async function runProgram(shell: Shell, serve: Serve): Promise<number> {
  let exitCode = 0;
  const program = createProgram(shell, serve, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...shell.args], { from: 'user' });
    return exitCode;
  } catch (error) {
    // commander has printed its sentence already; help and version are not errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return printError(shell, error, program.opts());
  }
}

/** Prints what a command threw, with what to do next; the exit code. Bugs are thrown on. */
function printError(shell: Shell, error: unknown, { config }: CommonFlags): number {
  if (error instanceof Failure) {
    const facts = { ...error.facts, detail: error.message, config };
    for (const line of explanationLines(error.reason, facts)) tell(shell, line);
    return exitCodeOf(failures[error.reason].certainty, false);
  }
  const isWrongInput = error instanceof WrongInput;
  if (!(isWrongInput || error instanceof UsageError)) throw error;
  const problems = isWrongInput ? [error.message] : error.problems;
  for (const problem of problems) tell(shell, `error: ${problem}`);
  return 2;
}

type Run<Flags> = (args: readonly string[], flags: CommonFlags & Flags) => Promise<number> | number;

/** Adds a command with its sentence, its example after the name of the program, and its parts. */
type Add = <Flags>(
  name: string,
  about: string,
  example: string,
  parts: readonly (Argument | Option)[],
  run: Run<Flags>,
) => Command;

/** The parser. `exit` receives the exit code of the command that ran. */
export function createProgram(shell: Shell, serve: Serve, exit: (code: number) => void): Command {
  const program = new Command('thingspace-rotator')
    .description('Rotates the passwords of Verizon ThingSpace accounts.')
    .version(version, '-V, --version', 'Print the version.')
    .option('-c, --config <file>', 'Use this file (default: ROTATOR_CONFIG, else ./rotator.yaml).')
    .option('--json', 'Print JSON: one document, or one line per account.')
    .option('-q, --quiet', 'Print failures only.')
    .helpOption('-h, --help', 'Print this help.')
    .helpCommand('help [command]', 'Print the help of a command.')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void shell.stdout.write(text),
      writeErr: (text) => void shell.stderr.write(text),
      getOutHelpWidth: () => shell.stdout.columns ?? 100,
      getErrHelpWidth: () => shell.stderr.columns ?? 100,
    })
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpText('after', exitCodes);
  const adder =
    (parent: Command): Add =>
    (name, about, example, parts, run) => {
      const command = parent
        .command(name)
        .description(about)
        .helpOption('-h, --help', 'Print this help.')
        .addHelpText('after', `\nExample:\n  $ thingspace-rotator ${example}`)
        .action(async () => exit(await run(command.args, command.optsWithGlobals())));
      for (const part of parts)
        if (part instanceof Option) command.addOption(part);
        else command.addArgument(part);
      return command;
    };
  const addGroup = (name: string, about: string): Add =>
    adder(
      program
        .command(name)
        .description(about)
        .helpOption('-h, --help', 'Print this help.')
        .helpCommand('help [command]', 'Print the help of a command.'),
    );
  const add = adder(program);
  addRotationCommands(add, shell);
  addAccountCommands(add, shell, serve);
  addNotificationCommands(add, adder, shell);
  addSecretCommands(addGroup('secret', 'Read and write secrets of the file store.'), shell);
  const addAudit = addGroup('audit', 'Read, verify and report the audit log.');
  addReadingCommands(addAudit, shell);
  addAuditorCommands(addAudit, shell);
  addSetupCommands(add, shell, program);
  return program;
}

const exitCodes = `
Exit codes:
  0  The account was rotated, or it is not due.
  1  The command failed, and no password was changed.
  2  The usage or the configuration is wrong.
  3  A password was changed or may have been changed, and is not verified yet.
  4  Automatic rotation is suspended, or a password is unrecoverable. Action is required.

Try it with a simulated ThingSpace: thingspace-rotator demo`;

const option = (flags: string, about: string, fallback?: string): Option =>
  new Option(flags, about).default(fallback);
const required = (flags: string, about: string): Option =>
  option(flags, about).makeOptionMandatory();
const repeated = (flags: string, about: string): Option =>
  option(flags, `${about} Repeatable.`).argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);

const someAccounts = (): Argument =>
  new Argument('[account...]', 'Use these accounts (default: all that are enabled).');
const oneAccount = (): Argument => new Argument('<account>', 'Use this account.');
const oneRecord = (): Argument =>
  new Argument('<id>', 'Name the record by its uid or its sequence number.');
const reason = (): Option => option('--reason <text>', 'Write this reason into the audit record.');
const checkpoint = (): Option =>
  repeated('--consistent-with <file>', 'Check that the log continues this earlier checkpoint.');
const key = (): Option => repeated('--key <key>', 'Verify with this key, or key file.');

function addRotationCommands(add: Add, shell: Shell): void {
  add<{ offline?: boolean }>(
    'check',
    'Test an account without changing its password (logs in once).',
    'check fleet-east',
    [
      someAccounts(),
      option('--offline', 'Check configuration, files and keys only, and contact nothing.'),
    ],
    async (names, flags) => {
      if (!flags.offline) return (await import('./rotate.ts')).check(shell, names, flags);
      if (names.length > 0) throw new UsageError('check --offline takes no account.');
      return (await import('./check.ts')).checkOffline(shell, flags);
    },
  );
  add(
    'rotate',
    'Rotate the accounts that are due.',
    'rotate fleet-east --force --reason "employee left" --change-ref CHG-1234',
    [
      someAccounts(),
      option('--force', 'Rotate accounts that are not due, too.'),
      option('--dry-run', 'Do the same as `check`.'),
      reason(),
      option('--change-ref <text>', 'Write this change or ticket number into the audit record.'),
      option(
        '--idempotency-key <key>',
        'Name the order: repeated with this key, it resets no password again.',
      ),
      option(
        '--trigger <kind>',
        'Record what called the program: schedule for cron (default: manual with a terminal).',
      ).choices(['schedule', 'manual']),
    ],
    async (names, flags) => (await import('./rotate.ts')).rotate(shell, names, flags),
  );
  add(
    'recover',
    'Complete or check an unfinished rotation; starts no new one.',
    'recover fleet-east --receipt receipts/fleet-east.0f0e….age --identity receipts.key',
    [
      someAccounts(),
      option('--receipt <file>', 'Use this receipt: its file, or its line from the log.'),
      option('--identity <file>', 'Decrypt the receipt with this age identity.'),
      option('--rotation-id <id>', 'Name the rotation, if the receipt file was renamed.'),
      option('--password-stdin', 'Read the new password from standard input, and test it once.'),
    ],
    async (names, flags) => (await import('./rotate.ts')).recover(shell, names, flags),
  );
  add<{ reason: string; abandon?: string }>(
    'resume',
    'Resume automatic rotation of a suspended account.',
    'resume fleet-east --reason "Verizon unlocked the user, case 4711"',
    [
      oneAccount(),
      required('--reason <text>', 'Write into the audit record why rotation may continue.'),
      option(
        '--abandon <rotation-id>',
        'Close this unfinished rotation; its password is given up.',
      ),
    ],
    async ([name = ''], flags) => (await import('./rotate.ts')).resume(shell, name, flags),
  );
}

function addAccountCommands(add: Add, shell: Shell, serve: Serve): void {
  add(
    'status',
    'Show the status of each account; contacts only the secret store.',
    'status --json | jq \'.[] | select(.state != "settled")\'',
    [someAccounts()],
    async (names, flags) => (await import('./status.ts')).status(shell, names, flags),
  );
  add(
    'explain',
    'Explain a failure reason, and what to do about it.',
    'explain login-refused',
    [new Argument('[reason]', 'Explain this reason (default: list all reasons).')],
    async ([name], flags) => (await import('./explain.ts')).explain(shell, name, flags),
  );
  add(
    'serve',
    'Run the service: schedule, status page and metrics.',
    'serve --config /etc/thingspace-rotator/rotator.yaml',
    [],
    (_, flags) => serve(shell, flags),
  );
  add(
    'schedule',
    'List the next scheduled runs.',
    'schedule --count 10',
    [option('--count <number>', 'List this many runs.', '5')],
    async (_, flags) => (await import('./schedule.ts')).schedule(shell, flags),
  ).alias('next');
}

function addNotificationCommands(add: Add, adder: (parent: Command) => Add, shell: Shell): void {
  const command = add(
    'notifications',
    'List the open problems that were notified, with their ids.',
    'notifications --json',
    [],
    async (_, flags) => (await import('./notifications.ts')).notifications(shell, flags),
  );
  const addTo = adder(command);
  const oneProblem = (): Argument =>
    new Argument('<id>', 'Name the problem by its id in `notifications`.');
  const why = (): Option => required('--reason <text>', 'Say who does what; everybody reads it.');
  addTo<{ reason: string }>(
    'ack',
    'Acknowledge a problem: it is not urgent any more, until it ends or becomes worse.',
    'notifications ack 1f0c22ab --reason "ops-3 unlocks the user, INC-77"',
    [oneProblem(), why()],
    async ([id = ''], flags) => (await import('./notifications.ts')).acknowledge(shell, id, flags),
  );
  addTo<{ reason: string; until: string }>(
    'snooze',
    'Acknowledge a problem until a date.',
    'notifications snooze 1f0c22ab --until 2026-12-24 --reason "Verizon case 4711"',
    [oneProblem(), required('--until <date>', 'End with this date, which is included.'), why()],
    async ([id = ''], flags) => (await import('./notifications.ts')).acknowledge(shell, id, flags),
  );
}

function addSecretCommands(add: Add, shell: Shell): void {
  add<{ reason?: string; changedAt: string }>(
    'put',
    'Store the JSON object on standard input, and resume a suspended account.',
    'secret put fleet-east < secret.json',
    [
      oneAccount(),
      reason(),
      option(
        '--changed-at <date>',
        'Say when the password was last changed, such as 2026-09-30, or unknown.',
        'unknown',
      ),
    ],
    async ([name = ''], flags) => (await import('./secret.ts')).secretPut(shell, name, flags),
  );
  add(
    'get',
    'Print the JSON object of a secret.',
    'secret get fleet-east --reveal | jq -r .username',
    [
      oneAccount(),
      option('--reveal', 'Print the secret in plain text (required).'),
      option('--stage <label>', 'Print the version with this label (default: AWSCURRENT).'),
    ],
    async ([name = ''], flags) => (await import('./secret.ts')).secretGet(shell, name, flags),
  );
}

function addReadingCommands(add: Add, shell: Shell): void {
  add(
    'list',
    'List audit records, oldest first.',
    'audit list --account fleet-east --since "90 days ago" -r',
    [
      option('--account <name>', 'List records of this account only.'),
      option('--outcome <word>', 'List this outcome only: a status, or a reason (login-refused).'),
      option('--event <code>', 'List this event only, such as rotation.outcome.'),
      option('--actor <text>', 'List records whose actor or requester contains this text.'),
      option('--since <time>', 'Start at this time: "90 days ago", yesterday, 12h, 2026-11-23.'),
      option('--until <time>', 'End at this time; a date includes that day.'),
      option('--open', 'List unfinished rotations only.'),
      option('-n, --number <count>', 'Show the last N records.'),
      option('-f, --follow', 'Wait for new records, and list them.'),
      option('-r, --reverse', 'List the newest record first.'),
    ],
    async (_, flags) => (await import('./audit.ts')).auditList(shell, flags),
  );
  add(
    'show',
    'Show one record in full.',
    'audit show 42',
    [oneRecord()],
    async ([id = ''], flags) => (await import('./audit.ts')).auditShow(shell, id, flags),
  );
  add(
    'prove',
    'Write a proof of one record that other programs can check.',
    'audit prove 42 --out record-42.tlog-proof',
    [
      oneRecord(),
      option('--out <file>', 'Write the proof to this file instead of standard output.'),
    ],
    async ([id = ''], flags) => (await import('./audit.ts')).auditProve(shell, id, flags),
  );
}

const reportParts = (out: Option): Option[] => [
  required('--from <date>', 'Start at this date, such as 2026-07-01 or "90 days ago".'),
  option('--to <date>', 'End with this date, which is included.', 'now'),
  out,
  checkpoint(),
  key(),
  option('--sample <count>', 'Select this many attempts and changes at random, with proofs.'),
  option('--offline', 'Use the audit log only: contact no store, and append no record.'),
];

function addAuditorCommands(add: Add, shell: Shell): void {
  add(
    'verify',
    'Verify all records: exit code 0 intact, 1 incomplete, 2 wrong input, 4 altered.',
    'audit verify --consistent-with /mnt/auditor/000000000120.checkpoint',
    [
      checkpoint(),
      key(),
      option('--witness-policy <k-of-n>', 'Ask the witnesses; K must have cosigned.'),
    ],
    async (_, flags) => (await import('./audit.ts')).auditVerify(shell, flags),
  );
  add<ReportFlags>(
    'report',
    'Write report.html, report.csv and report.json for a period.',
    'audit report --from 2026-07-01 --to 2026-09-30 --out q3',
    reportParts(required('--out <folder>', 'Write into this folder, which must be new or empty.')),
    async (_, flags) => (await import('./report.ts')).auditReport(shell, flags),
  );
  add<ReportFlags>(
    'bundle',
    'Write one zip file for an auditor: report, log, checkpoints, proofs, verifier.',
    'audit bundle --from 2026-01-01 --to 2026-12-31 --out evidence-2026.zip',
    reportParts(required('--out <file>', 'Write this zip file, which must not exist.')),
    async (_, flags) => (await import('./bundle.ts')).auditBundle(shell, flags),
  );
  add<ArchiveFlags>(
    'archive',
    'Write complete months of the log into bundles, and remove them with --delete.',
    'audit archive --before 2026-09 --out /mnt/archive --delete',
    [
      required('--before <month>', 'Archive the months before this one.'),
      required('--out <folder>', 'Write the bundles into this folder; none is overwritten.'),
      option('--delete', 'Remove the months from the log when their bundles are verified.'),
    ],
    async (_, flags) => (await import('./archive.ts')).auditArchive(shell, flags),
  );
  add<{ note: string }>(
    'acknowledge',
    'Record that a person reviewed an exception of the report.',
    'audit acknowledge 0194… --note "network outage, see INC-77"',
    [
      new Argument('<id>', 'Name the exception by its id in the report.'),
      required('--note <text>', 'Record this finding.'),
      option('--account <name>', 'Name the account of the exception.'),
    ],
    async ([id = ''], flags) =>
      (await import('./acknowledge.ts')).auditAcknowledge(shell, id, flags),
  );
}

function addSetupCommands(add: Add, shell: Shell, program: Command): void {
  add(
    'init',
    'Write a configuration, keys and an empty audit log; never overwrites.',
    'init --store file --account fleet-east=thingspace/fleet-east',
    [
      option('--store <type>', 'Use this secret store: file or secrets-manager.'),
      option('--base-url <url>', 'Use the ThingSpace API at this URL.'),
      repeated('--account <name[=secret]>', 'Add this account, with its secret.'),
    ],
    async (_, flags) => (await import('./init.ts')).init(shell, flags),
  );
  add(
    'demo',
    'Rotate three accounts of a simulated ThingSpace, in a new folder.',
    'demo',
    [option('--directory <folder>', 'Use this folder (default: ./demo).')],
    async (_, flags) => (await import('./demo.ts')).demo(shell, flags),
  );
  add(
    'simulate',
    'Run a ThingSpace simulator on a loopback port until a signal arrives.',
    'simulate --credentials secret.json --fault drop-after-commit:reset',
    [
      repeated('--user <name=password>', 'Add this user.'),
      repeated('--application <id=secret>', 'Add this application key.'),
      option('--credentials <file>', 'Add users and keys from JSON; - reads standard input.'),
      repeated('--fault <name[:call[:count]]>', 'Inject this fault (default call: reset).'),
      option('--faults', 'List the faults.'),
      option('--port <number>', 'Listen on this port (default: a free one).'),
    ],
    async (_, flags) => (await import('./simulate.ts')).simulate(shell, flags),
  );
  add<WitnessFlags>(
    'witness',
    'Run a witness on another machine: it cosigns checkpoints, and refuses forks.',
    "witness --listen 0.0.0.0:9465 --state state --key witness.key --log 'ops-1/audit+be41…'",
    [
      required('--listen <host:port>', 'Listen on this address; port 0 selects a free one.'),
      required('--state <folder>', 'Keep the newest checkpoint of each log in this folder.'),
      required('--key <file>', 'Cosign with the key in this file; it is created if missing.'),
      repeated('--log <key>', 'Cosign the log with this verifier key.').makeOptionMandatory(),
    ],
    async (_, flags) => (await import('./witness.ts')).witness(shell, flags),
  );
  add(
    'completion',
    'Print a completion script for a shell.',
    'completion bash > ~/.local/share/bash-completion/completions/thingspace-rotator',
    [new Argument('<shell>', 'Choose bash, zsh or fish.')],
    async ([kind = '']) => (await import('./completion.ts')).completion(shell, kind, program),
  );
}
