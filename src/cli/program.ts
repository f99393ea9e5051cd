// The commands, their flags and examples. A command's code is loaded when it runs; nothing here is
// heavier than commander. Every description is a sentence (test/unit/help.test.ts).

import { Command, CommanderError, Option, type OptionValues } from 'commander';
import { WrongInput } from '../audit/findings.ts';
import { UsageError } from '../config/errors.ts';
import { explanationLines } from '../rotation/catalogue.ts';
import { exitCodeOf, Failure, failures } from '../rotation/failure.ts';
import { version } from '../version.ts';
import { type Shell, tell } from './terminal.ts';

/** A command: its flags besides the common ones, and its arguments. No exit code means 0. */
type Run<Flags> = (
  shell: Shell,
  flags: Flags,
  ...args: string[]
) => Promise<number> | Promise<void>;

/** The service, which is an entry point and therefore passed in. */
type Serve = (shell: Shell) => Promise<number>;

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
    return printError({ ...shell, flags: program.opts() }, error);
  }
}

/** Prints what a command threw, with what to do next; the exit code. Bugs are thrown on. */
function printError(shell: Shell, error: unknown): number {
  if (error instanceof Failure) {
    const facts = { ...error.facts, detail: error.message, config: shell.flags.config };
    for (const line of explanationLines(error.reason, facts)) tell(shell, line);
    return exitCodeOf(failures[error.reason].certainty, false);
  }
  const isWrongInput = error instanceof WrongInput;
  if (!(isWrongInput || error instanceof UsageError)) throw error;
  const problems = isWrongInput ? [error.message] : error.problems;
  for (const problem of problems) tell(shell, `error: ${problem}`);
  return 2;
}

/** Adds a command with its sentence, its example after the name of the program, and its code. */
type Add = <Flags extends OptionValues>(
  name: string,
  about: string,
  example: string,
  load: () => Promise<Run<Flags>>,
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
    .exitOverride()
    .addHelpText('after', exitCodes);
  const adderTo =
    (parent: Command): Add =>
    (name, about, example, load) => {
      const command = parent
        .command(name)
        .description(about)
        .addHelpText('after', `\nExample:\n  $ thingspace-rotator ${example}`);
      return command.action(async () => {
        const run = await load();
        const here = { ...shell, flags: program.opts() };
        exit((await run(here, command.optsWithGlobals(), ...command.args)) ?? 0);
      });
    };
  const addGroup = (name: string, about: string): Add =>
    adderTo(program.command(name).description(about));
  const add = adderTo(program);
  addRotationCommands(add);
  addAccountCommands(add, serve);
  addNotificationCommands(add, adderTo);
  addSecretCommands(addGroup('secret', 'Read and write secrets of the file store.'));
  const addAudit = addGroup('audit', 'Read, verify and report the audit log.');
  addReadingCommands(addAudit);
  addAuditorCommands(addAudit);
  addSetupCommands(add, program);
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

const repeated = (flags: string, about: string): Option =>
  new Option(flags, `${about} Repeatable.`).argParser(
    (value: string, before: readonly string[] = []) => [...before, value],
  );

/** An integer within these bounds. Its parser throws a UsageError. */
const integer = (flags: string, about: string, least: number, most: number): Option => {
  const option = new Option(flags, about);
  return option.argParser((text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new UsageError(`${option.long} takes an integer from ${least} to ${most}.`);
  });
};

const accounts = ['[account...]', 'Use these accounts (default: all that are enabled).'] as const;
const account = ['<account>', 'Use this account.'] as const;
const recordId = ['<id>', 'Name the record by its uid or its sequence number.'] as const;
const reason = ['--reason <text>', 'Write this reason into the audit record.'] as const;
const checkpoint = (): Option =>
  repeated('--consistent-with <file>', 'Check that the log continues this earlier checkpoint.');
const key = (): Option => repeated('--key <key>', 'Verify with this key, or key file.');

function addRotationCommands(add: Add): void {
  add(
    'check',
    'Test an account without changing its password (logs in once).',
    'check fleet-east',
    async () => (await import('./rotate.ts')).check,
  )
    .argument(...accounts)
    .option('--offline', 'Check configuration, files and keys only, and contact nothing.');
  add(
    'rotate',
    'Rotate the accounts that are due.',
    'rotate fleet-east --force --reason "employee left" --change-ref CHG-1234',
    async () => (await import('./rotate.ts')).rotate,
  )
    .argument(...accounts)
    .option('--force', 'Rotate accounts that are not due, too.')
    .option('--dry-run', 'Do the same as `check`.')
    .option(...reason)
    .option('--change-ref <text>', 'Write this change or ticket number into the audit record.')
    .option(
      '--idempotency-key <key>',
      'Name the order: repeated with this key, it resets no password again.',
    )
    .addOption(
      new Option(
        '--trigger <kind>',
        'Record what called the program: schedule for cron (default: manual with a terminal).',
      ).choices(['schedule', 'manual']),
    );
  add(
    'recover',
    'Complete or check an unfinished rotation; starts no new one.',
    'recover fleet-east --receipt receipts/fleet-east.0f0e….age --identity receipts.key',
    async () => (await import('./rotate.ts')).recover,
  )
    .argument(...accounts)
    .option('--receipt <file>', 'Use this receipt: its file, or its line from the log.')
    .option('--identity <file>', 'Decrypt the receipt with this age identity.')
    .option('--rotation-id <id>', 'Name the rotation, if the receipt file was renamed.')
    .option('--password-stdin', 'Read the new password from standard input, and test it once.');
  add(
    'resume',
    'Resume automatic rotation of a suspended account.',
    'resume fleet-east --reason "Verizon unlocked the user, case 4711"',
    async () => (await import('./rotate.ts')).resume,
  )
    .argument(...account)
    .requiredOption('--reason <text>', 'Write into the audit record why rotation may continue.')
    .option('--abandon <rotation-id>', 'Close this unfinished rotation; its password is given up.');
}

function addAccountCommands(add: Add, serve: Serve): void {
  add(
    'status',
    'Show the status of each account; contacts only the secret store.',
    'status --json | jq \'.[] | select(.state != "settled")\'',
    async () => (await import('./status.ts')).status,
  ).argument(...accounts);
  add(
    'explain',
    'Explain a failure reason, and what to do about it.',
    'explain login-refused',
    async () => (await import('./explain.ts')).explain,
  ).argument('[reason]', 'Explain this reason (default: list all reasons).');
  add(
    'serve',
    'Run the service: schedule, status page and metrics.',
    'serve --config /etc/thingspace-rotator/rotator.yaml',
    async () => serve,
  );
  add(
    'schedule',
    'List the next scheduled runs.',
    'schedule --count 10',
    async () => (await import('./schedule.ts')).schedule,
  )
    .alias('next')
    .addOption(integer('--count <number>', 'List this many runs.', 1, 1_000).default(5));
}

function addNotificationCommands(add: Add, adderTo: (parent: Command) => Add): void {
  const command = add(
    'notifications',
    'List the open problems that were notified, with their ids.',
    'notifications --json',
    async () => (await import('./notifications.ts')).notifications,
  );
  const addTo = adderTo(command);
  const problem = ['<id>', 'Name the problem by its id in `notifications`.'] as const;
  const why = ['--reason <text>', 'Say who does what; everybody reads it.'] as const;
  addTo(
    'ack',
    'Acknowledge a problem: it is not urgent any more, until it ends or becomes worse.',
    'notifications ack 1f0c22ab --reason "ops-3 unlocks the user, INC-77"',
    async () => (await import('./notifications.ts')).acknowledge,
  )
    .argument(...problem)
    .requiredOption(...why);
  addTo(
    'snooze',
    'Acknowledge a problem until a date.',
    'notifications snooze 1f0c22ab --until 2026-12-24 --reason "Verizon case 4711"',
    async () => (await import('./notifications.ts')).acknowledge,
  )
    .argument(...problem)
    .requiredOption('--until <date>', 'End with this date, which is included.')
    .requiredOption(...why);
}

function addSecretCommands(add: Add): void {
  add(
    'put',
    'Store the JSON object on standard input, and resume a suspended account.',
    'secret put fleet-east < secret.json',
    async () => (await import('./secret.ts')).secretPut,
  )
    .argument(...account)
    .option(...reason)
    .option(
      '--changed-at <date>',
      'Say when the password was last changed, such as 2026-09-30, or unknown.',
      'unknown',
    );
  add(
    'get',
    'Print the JSON object of a secret.',
    'secret get fleet-east --reveal | jq -r .username',
    async () => (await import('./secret.ts')).secretGet,
  )
    .argument(...account)
    .option('--reveal', 'Print the secret in plain text (required).')
    .option('--stage <label>', 'Print the version with this label (default: AWSCURRENT).');
}

function addReadingCommands(add: Add): void {
  add(
    'list',
    'List audit records, oldest first.',
    'audit list --account fleet-east --since "90 days ago" -r',
    async () => (await import('./audit.ts')).auditList,
  )
    .option('--account <name>', 'List records of this account only.')
    .option('--outcome <word>', 'List this outcome only: a status, or a reason (login-refused).')
    .option('--event <code>', 'List this event only, such as rotation.outcome.')
    .option('--actor <text>', 'List records whose actor or requester contains this text.')
    .option('--since <time>', 'Start at this time: "90 days ago", yesterday, 12h, 2026-11-23.')
    .option('--until <time>', 'End at this time; a date includes that day.')
    .option('--open', 'List unfinished rotations only.')
    .addOption(integer('-n, --number <count>', 'Show the last N records.', 0, 999_999_999))
    .option('-f, --follow', 'Wait for new records, and list them.')
    .option('-r, --reverse', 'List the newest record first.');
  add(
    'show',
    'Show one record in full.',
    'audit show 42',
    async () => (await import('./audit.ts')).auditShow,
  ).argument(...recordId);
  add(
    'prove',
    'Write a proof of one record that other programs can check.',
    'audit prove 42 --out record-42.tlog-proof',
    async () => (await import('./audit.ts')).auditProve,
  )
    .argument(...recordId)
    .option('--out <file>', 'Write the proof to this file instead of standard output.');
}

const addReportOptions = (command: Command, place: string, about: string): Command =>
  command
    .requiredOption('--from <date>', 'Start at this date, such as 2026-07-01 or "90 days ago".')
    .option('--to <date>', 'End with this date, which is included.', 'now')
    .requiredOption(`--out ${place}`, about)
    .addOption(checkpoint())
    .addOption(key())
    .addOption(
      integer(
        '--sample <count>',
        'Select this many attempts and changes at random, with proofs.',
        0,
        1_000,
      ),
    )
    .option('--offline', 'Use the audit log only: contact no store, and append no record.');

function addAuditorCommands(add: Add): void {
  add(
    'verify',
    'Verify all records: exit code 0 intact, 1 incomplete, 2 wrong input, 4 altered.',
    'audit verify --consistent-with /mnt/auditor/000000000120.checkpoint',
    async () => (await import('./audit.ts')).auditVerify,
  )
    .addOption(checkpoint())
    .addOption(key())
    .option('--witness-policy <k-of-n>', 'Ask the witnesses; K must have cosigned.');
  const report = add(
    'report',
    'Write report.html, report.csv and report.json for a period.',
    'audit report --from 2026-07-01 --to 2026-09-30 --out q3',
    async () => (await import('./report.ts')).auditReport,
  );
  addReportOptions(report, '<folder>', 'Write into this folder, which must be new or empty.');
  const bundle = add(
    'bundle',
    'Write one zip file for an auditor: report, log, checkpoints, proofs, verifier.',
    'audit bundle --from 2026-01-01 --to 2026-12-31 --out evidence-2026.zip',
    async () => (await import('./bundle.ts')).auditBundle,
  );
  addReportOptions(bundle, '<file>', 'Write this zip file, which must not exist.');
  add(
    'archive',
    'Write complete months of the log into bundles, and remove them with --delete.',
    'audit archive --before 2026-09 --out /mnt/archive --delete',
    async () => (await import('./archive.ts')).auditArchive,
  )
    .requiredOption('--before <month>', 'Archive the months before this one.')
    .requiredOption('--out <folder>', 'Write the bundles into this folder; none is overwritten.')
    .option('--delete', 'Remove the months from the log when their bundles are verified.');
  add(
    'acknowledge',
    'Record that a person reviewed an exception of the report.',
    'audit acknowledge 0194… --note "network outage, see INC-77"',
    async () => (await import('./acknowledge.ts')).auditAcknowledge,
  )
    .argument('<id>', 'Name the exception by its id in the report.')
    .requiredOption('--note <text>', 'Record this finding.')
    .option('--account <name>', 'Name the account of the exception.');
}

function addSetupCommands(add: Add, program: Command): void {
  add(
    'init',
    'Write a configuration, keys and an empty audit log; never overwrites.',
    'init --store file --account fleet-east=thingspace/fleet-east',
    async () => (await import('./init.ts')).init,
  )
    .option('--store <type>', 'Use this secret store: file or secrets-manager.')
    .option('--base-url <url>', 'Use the ThingSpace API at this URL.')
    .addOption(repeated('--account <name[=secret]>', 'Add this account, with its secret.'));
  add(
    'demo',
    'Rotate three accounts of a simulated ThingSpace, in a new folder.',
    'demo',
    async () => (await import('./demo.ts')).demo,
  ).option('--directory <folder>', 'Use this folder (default: ./demo).');
  add(
    'simulate',
    'Run a ThingSpace simulator on a loopback port until a signal arrives.',
    'simulate --credentials secret.json --fault drop-after-commit:reset',
    async () => (await import('./simulate.ts')).simulate,
  )
    .addOption(repeated('--user <name=password>', 'Add this user.'))
    .addOption(repeated('--application <id=secret>', 'Add this application key.'))
    .option('--credentials <file>', 'Add users and keys from JSON; - reads standard input.')
    .addOption(
      repeated('--fault <name[:call[:count]]>', 'Inject this fault (default call: reset).'),
    )
    .option('--faults', 'List the faults.')
    .addOption(integer('--port <number>', 'Listen on this port (default: a free one).', 0, 65_535));
  add(
    'witness',
    'Run a witness on another machine: it cosigns checkpoints, and refuses forks.',
    "witness --listen 0.0.0.0:9465 --state state --key witness.key --log 'ops-1/audit+be41…'",
    async () => (await import('./witness.ts')).witness,
  )
    .requiredOption('--listen <host:port>', 'Listen on this address; port 0 selects a free one.')
    .requiredOption('--state <folder>', 'Keep the newest checkpoint of each log in this folder.')
    .requiredOption('--key <file>', 'Cosign with the key in this file; it is created if missing.')
    .addOption(
      repeated('--log <key>', 'Cosign the log with this verifier key.').makeOptionMandatory(),
    );
  add(
    'completion',
    'Print a completion script for a shell.',
    'completion bash > ~/.local/share/bash-completion/completions/thingspace-rotator',
    async () => (await import('./completion.ts')).completionOf(program),
  ).argument('<shell>', 'Choose bash, zsh or fish.');
}
