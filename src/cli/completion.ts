// completion: a script for bash, zsh or fish that completes commands, flags and files.

import type { Command } from 'commander';
import { UsageError } from '../config/errors.ts';
import { print, type Shell } from './terminal.ts';

const shells = { bash, zsh, fish } as const;

/** The command `completion`, for this program. */
export const completionOf =
  (program: Command) =>
  async (shell: Shell, _: object, kind: string): Promise<void> => {
    const make = Object.hasOwn(shells, kind) ? shells[kind as keyof typeof shells] : undefined;
    if (!make) throw new UsageError(`completion takes ${Object.keys(shells).join(', ')}`);
    print(shell, make(wordsOf(program)));
  };

/** Each command's words after it: `''` for the program, `audit list` for a nested one. */
type Words = readonly {
  readonly path: string;
  readonly commands: readonly string[];
  readonly flags: readonly string[];
}[];

function wordsOf(program: Command): Words {
  const common = flagsOf(program);
  const walk = (command: Command, path: string): Words => [
    {
      path,
      commands: command.commands.map((inner) => inner.name()),
      flags: [...new Set([...flagsOf(command), ...common, '--help'])],
    },
    ...command.commands.flatMap((inner) => walk(inner, `${path} ${inner.name()}`.trim())),
  ];
  return walk(program, '');
}

const flagsOf = (command: Command): string[] =>
  command.options.flatMap(({ long }) => (long ? [long] : []));

function bash(words: Words): string {
  const head =
    '# thingspace-rotator completion bash > ' +
    '~/.local/share/bash-completion/completions/thingspace-rotator';
  return `${head}\n${script(words, 'mapfile -t COMPREPLY < <(WORDS)')}`;
}

/** Run by zsh's own emulation of bash's completion, which has no mapfile. */
function zsh(words: Words): string {
  return `#compdef thingspace-rotator
# thingspace-rotator completion zsh > "\${fpath[1]}/_thingspace-rotator"
autoload -U +X bashcompinit && bashcompinit
${script(words, 'COMPREPLY=($(WORDS))')}`;
}

/** The function that both call. `reply` contains WORDS, which is replaced by the matching words. */
function script(words: Words, reply: string): string {
  const cases = words.map(
    ({ path, commands, flags }) => `    "${path}") words="${[...commands, ...flags].join(' ')}" ;;`,
  );
  const fitting = 'compgen -W "$words" -- "$current"';
  return `_thingspace_rotator() {
  local word path="" words="" next current="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && continue
    next="\${path:+$path }$word"
    case " ${words.map(({ path }) => path.replaceAll(' ', '/')).join(' ')} " in
      *" \${next// //} "*) path="$next" ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  ${reply.replace('WORDS', fitting)}
}
complete -o default -F _thingspace_rotator thingspace-rotator`;
}

function fish(words: Words): string {
  const lines = words.flatMap(({ path, commands, flags }) => {
    const steps = path.split(' ').map((step) => `__fish_seen_subcommand_from ${step}`);
    const seen = path === '' ? '__fish_use_subcommand' : steps.join('; and ');
    const complete = `complete -c thingspace-rotator -n '${seen}'`;
    const ofCommands = commands.length > 0 ? [`${complete} -f -a '${commands.join(' ')}'`] : [];
    return [...ofCommands, ...flags.map((flag) => `${complete} -l ${flag.slice(2)}`)];
  });
  return [
    '# thingspace-rotator completion fish > ~/.config/fish/completions/thingspace-rotator.fish',
    ...lines,
  ].join('\n');
}
