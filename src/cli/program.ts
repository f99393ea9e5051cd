// The commands, their flags and examples. Each command is loaded when it runs; nothing here is heavier than commander.

import { Command, CommanderError, Option } from 'commander';
import { UsageError } from '../config/errors.ts';
import { version } from '../version.ts';
import { exitCodeFor } from './exit-code.ts';
import type { CommonFlags, Shell } from './terminal.ts';

/** Runs what the arguments ask for; the exit code. Throws only bugs. */
export async function runProgram(shell: Shell): Promise<number> {
  let exitCode = 0;
  const program = createProgram(shell, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...shell.args], { from: 'user' });
    return exitCode;
  } catch (error) {
    // commander has printed its sentence already; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return exitCodeFor(shell, error);
  }
}

/** Runs a command with its arguments and all flags, and keeps its exit code. */
type Action = (
  run: (args: readonly string[], flags: never) => Promise<number>,
) => (...given: unknown[]) => Promise<void>;

function createProgram(shell: Shell, exit: (code: number) => void): Command {
  const program = new Command('thingspace-rotator');
  const act: Action =
    (run) =>
    async (...given) => {
      const command = given.at(-1) as Command;
      const args = given
        .slice(0, -2)
        .flatMap((value) => (value === undefined ? [] : value)) as string[];
      exit(await run(args, command.optsWithGlobals() as never));
    };
  program
    .description(
      'Rotates the passwords of Verizon ThingSpace accounts, unattended, and never loses one.',
    )
    .version(version, '-V, --version', 'print the version')
    .option(
      '-c, --config <file>',
      'the configuration (default: ROTATOR_CONFIG, else ./rotator.yaml)',
    )
    .option('--json', 'print JSON: one document, or one line per account as it finishes')
    .option('-q, --quiet', 'print failures only')
    .helpOption('-h, --help', 'print this help')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void shell.stdout.write(text),
      writeErr: (text) => void shell.stderr.write(text),
      getOutHelpWidth: () => shell.stdout.columns ?? 100,
      getErrHelpWidth: () => shell.stderr.columns ?? 100,
    })
    .showSuggestionAfterError(true)
    .exitOverride();
  program.addHelpText(
    'after',
    `\nExit codes: 0 rotated or not due, 1 failed and nothing changed, 2 usage or configuration,\n3 changed or in doubt, 4 lost or stopped: a person is needed.\n\nTo see it all at once: thingspace-rotator demo`,
  );
  addAccountCommands(program, shell, act);
  addAuditCommands(program, shell, act);
  addOtherCommands(program, shell, act);
  return program;
}

const example = (text: string): string => `\nExample:\n  $ thingspace-rotator ${text}`;

/** A flag that may be given several times. */
const repeated = (flags: string, about: string): Option =>
  new Option(flags, about).argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);

function addAccountCommands(program: Command, shell: Shell, act: Action): void {
  program
    .command('init')
    .description(
      'write a commented rotator.yaml, keys, token and an empty audit log; never overwrites',
    )
    .option('--store <type>', 'file or secrets-manager')
    .option('--base-url <url>', 'the ThingSpace API')
    .addOption(repeated('--account <name[=secret]>', 'an account and its secret (repeatable)'))
    .addHelpText('after', example('init --store file --account fleet-east=thingspace/fleet-east'))
    .action(act(async (_, flags) => (await import('./init.ts')).init(shell, flags)));
  program
    .command('check')
    .argument('[account...]')
    .description('an honest dry run: everything but the reset')
    .option('--offline', 'look at configuration, files and keys only; contact nothing')
    .addHelpText('after', example('check fleet-east'))
    .action(
      act(async (names, flags: CommonFlags & { offline?: boolean }) => {
        if (!flags.offline) return (await import('./rotate.ts')).check(shell, names, flags);
        if (names.length > 0) throw new UsageError('check --offline looks at no account');
        return (await import('./check.ts')).checkOffline(shell, flags);
      }),
    );
  program
    .command('rotate')
    .argument('[account...]')
    .description('rotate what is due')
    .option('--force', 'rotate although not due')
    .option('--dry-run', 'the same as check')
    .option('--reason <text>', 'why, for the audit record')
    .option('--change-ref <text>', 'the change or ticket it belongs to, for the audit record')
    .addHelpText(
      'after',
      example('rotate fleet-east --force --reason "key holder left" --change-ref CHG-1234'),
    )
    .action(act(async (names, flags) => (await import('./rotate.ts')).rotate(shell, names, flags)));
  program
    .command('status')
    .argument('[account...]')
    .description('where each account stands; contacts only the store, logs in nowhere')
    .addHelpText('after', example('status --json | jq \'.[] | select(.state != "settled")\''))
    .action(act(async (names, flags) => (await import('./status.ts')).status(shell, names, flags)));
  program
    .command('recover')
    .argument('[account...]')
    .description('roll forward what an interrupted rotation left open; starts nothing new')
    .option('--receipt <file>', 'a sealed receipt, or its line from the log')
    .option('--identity <file>', 'the age identity that opens it')
    .option('--rotation-id <id>', 'the rotation, where the receipt’s file was renamed')
    .addHelpText(
      'after',
      example('recover fleet-east --receipt receipts/fleet-east.0f0e….age --identity receipts.key'),
    )
    .action(
      act(async (names, flags) => (await import('./rotate.ts')).recover(shell, names, flags)),
    );
  program
    .command('resume')
    .argument('<account>')
    .description('lift the stop of an account; audited')
    .requiredOption('--reason <text>', 'why it is right to go on')
    .addHelpText(
      'after',
      example('resume fleet-east --reason "Verizon unlocked the user, case 4711"'),
    )
    .action(
      act(async ([name = ''], flags) => (await import('./rotate.ts')).resume(shell, name, flags)),
    );
}

function addAuditCommands(program: Command, shell: Shell, act: Action): void {
  const audit = program.command('audit').description('read, verify and report the audit log');
  audit
    .command('list')
    .description('records, oldest first')
    .option('--account <name>')
    .option(
      '--outcome <word>',
      'success, failure, unknown, started, or a reason such as login-refused',
    )
    .option('--event <code>', 'such as rotation.outcome')
    .option('--actor <text>', 'part of who acted or asked')
    .option('--since <when>', '"90 days ago", yesterday, 12h, 2026-11-23')
    .option('--until <when>')
    .option('--open', 'only intents without an outcome')
    .option('-n, --number <count>', 'the newest so many')
    .option('-f, --follow', 'and what is appended from now on')
    .option('-r, --reverse', 'newest first')
    .addHelpText('after', example('audit list --account fleet-east --since "90 days ago" -r'))
    .action(act(async (_, flags) => (await import('./audit.ts')).auditList(shell, flags)));
  audit
    .command('show')
    .argument('<id>', 'a uid or a sequence number')
    .description('one record, whole')
    .addHelpText('after', example('audit show 42'))
    .action(
      act(async ([id = ''], flags) => (await import('./audit.ts')).auditShow(shell, id, flags)),
    );
  audit
    .command('verify')
    .description('recompute everything: 0 intact, 1 incomplete, 4 altered')
    .addOption(
      repeated('--consistent-with <checkpoint>', 'a checkpoint file kept elsewhere (repeatable)'),
    )
    .addOption(
      repeated(
        '--key <key>',
        'a verifier key or its file, instead of the one beside the signing key (repeatable)',
      ),
    )
    .addHelpText(
      'after',
      example('audit verify --consistent-with /mnt/auditor/000000000120.checkpoint'),
    )
    .action(act(async (_, flags) => (await import('./audit.ts')).auditVerify(shell, flags)));
  audit
    .command('prove')
    .argument('<id>', 'a uid or a sequence number')
    .description('a proof of one record that can be checked without this program')
    .option('--out <file>', 'write it there instead of printing it')
    .addHelpText('after', example('audit prove 42 --out record-42.tlog-proof'))
    .action(
      act(async ([id = ''], flags) => (await import('./audit.ts')).auditProve(shell, id, flags)),
    );
  audit
    .command('report')
    .description('report.html, report.csv and report.json of a period')
    .requiredOption('--from <date>', 'an ISO date, or words such as "90 days ago"')
    .option('--to <date>', 'the end, excluded', 'now')
    .requiredOption('--out <folder>', 'a folder that is made, or empty')
    .addOption(
      repeated(
        '--consistent-with <checkpoint>',
        'a checkpoint of the previous report (repeatable)',
      ),
    )
    .addOption(repeated('--key <key>', 'a verifier key or its file (repeatable)'))
    .option('--sample <count>', 'how many rotations to draw, each with its proof file')
    .option('--offline', 'from the log alone: do not ask the store, and record nothing')
    .addHelpText('after', example('audit report --from 2026-07-01 --to 2026-10-01 --out q3'))
    .action(act(async (_, flags) => (await import('./report.ts')).auditReport(shell, flags)));
  audit
    .command('acknowledge')
    .argument('<id>', 'the id that the report gives the exception')
    .description('record that a person looked at an exception of the report')
    .requiredOption('--note <text>', 'what was found')
    .option('--account <name>')
    .addHelpText('after', example('audit acknowledge 0194… --note "network outage, see INC-77"'))
    .action(
      act(async ([id = ''], flags) =>
        (await import('./audit.ts')).auditAcknowledge(shell, id, flags),
      ),
    );
}

function addOtherCommands(program: Command, shell: Shell, act: Action): void {
  program
    .command('serve')
    .description('the long-running process: schedule, status page, metrics')
    .addHelpText('after', example('serve --config /etc/thingspace-rotator/rotator.yaml'))
    .action(act(async (_, flags) => (await import('../serve.ts')).serve(shell, flags)));
  program
    .command('next')
    .description('the coming runs of the schedule, in its time zone')
    .option('--count <number>', 'how many', '5')
    .addHelpText('after', example('next --count 10'))
    .action(act(async (_, flags) => (await import('./schedule.ts')).next(shell, flags)));
  const secret = program.command('secret').description('read and write secrets of the file store');
  secret
    .command('put')
    .argument('<account>')
    .description('store the JSON object on standard input; audited, and settles a stopped account')
    .option('--reason <text>', 'why, for the audit record')
    .addHelpText('after', example('secret put fleet-east < secret.json'))
    .action(
      act(async ([name = ''], flags) =>
        (await import('./secret.ts')).secretPut(shell, name, flags),
      ),
    );
  secret
    .command('get')
    .argument('<account>')
    .description('print the JSON object, in clear')
    .option('--reveal', 'yes, in clear')
    .addHelpText('after', example('secret get fleet-east --reveal | jq -r .username'))
    .action(
      act(async ([name = ''], flags) =>
        (await import('./secret.ts')).secretGet(shell, name, flags),
      ),
    );
  program
    .command('simulate')
    .description('a ThingSpace simulator on loopback, until a signal ends it')
    .addOption(repeated('--user <name=password>', 'a user (repeatable)'))
    .addOption(repeated('--application <id=secret>', 'an application key pair (repeatable)'))
    .option(
      '--credentials <file>',
      'JSON objects as secrets hold them; - for standard input (also: SIMULATOR_CREDENTIALS)',
    )
    .addOption(
      repeated(
        '--fault <name[:call[:count]]>',
        'a fault, by default at the next reset (repeatable)',
      ),
    )
    .option('--faults', 'list the faults')
    .option('--port <number>', 'the port (default: a free one)')
    .option(
      '--secrets-manager',
      'also simulate Secrets Manager, with a secret thingspace/NAME per user',
    )
    .addHelpText(
      'after',
      example('simulate --credentials secret.json --fault drop-after-commit:reset'),
    )
    .action(act(async (_, flags) => (await import('./simulate.ts')).simulate(shell, flags)));
  program
    .command('demo')
    .description('the whole job against a simulated Verizon, in a folder that stays')
    .option('--directory <folder>', 'the folder (default: ./demo)')
    .addHelpText('after', example('demo'))
    .action(act(async (_, flags) => (await import('./demo.ts')).demo(shell, flags)));
  program
    .command('completion')
    .argument('<shell>', 'bash, zsh or fish')
    .description('print a completion script')
    .addHelpText(
      'after',
      example('completion bash > ~/.local/share/bash-completion/completions/thingspace-rotator'),
    )
    .action(
      act(async ([kind = '']) =>
        (await import('./completion.ts')).completion(shell, kind, program),
      ),
    );
}
