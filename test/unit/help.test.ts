// Every line of `--help` is a sentence that a reader with basic English understands.

import { commandsOf, openParser } from '../harness/parser.ts';

type Line = { readonly place: string; readonly text: string };

const { program } = openParser();

/** Every description that some `--help` prints. */
const lines = commandsOf(program).flatMap((command): Line[] => {
  const help = command.createHelp();
  return [
    { place: command.name(), text: command.description() },
    ...help.visibleOptions(command).map(({ flags, description }) => ({
      place: `${command.name()} ${flags}`,
      text: description,
    })),
    ...help.visibleArguments(command).map((argument) => ({
      place: `${command.name()} ${argument.name()}`,
      text: argument.description,
    })),
  ];
});

test('there is help for more than a hundred commands, flags and arguments', () => {
  expect(lines.length).toBeGreaterThan(100);
});

test('every line of help begins with a capital letter and ends with a full stop', () => {
  const wrong = lines.filter(({ text }) => !/^[A-Z].*\.$/s.test(text));

  expect(wrong).toEqual([]);
});

test('every line of help is one or two sentences of at most 25 words, with a verb in front', () => {
  const isVerb = (word: string): boolean => !/^(?:A|An|The|This|Such|Of|For|To|In)$/.test(word);
  const wrong = lines.filter(({ text }) => {
    const sentences = text.split(/\.\s+(?=[A-Z])/);
    const isShort = sentences.every((sentence) => sentence.split(/\s+/).length <= 25);
    return !isShort || sentences.length > 2 || !isVerb(text.split(' ')[0] ?? '');
  });

  expect(wrong).toEqual([]);
});

test('every command prints an example that the parser accepts', () => {
  for (const command of commandsOf(program)) {
    if (command.commands.length > 0) continue;
    let help = '';
    command.configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
    command.outputHelp();
    const [, example = ''] = /Example:\n {2}\$ (.+)/.exec(help) ?? [];
    const simple = example.split(/ [|<>] /)[0] ?? '';

    expect([command.name(), example]).toEqual([command.name(), expect.stringMatching(/^thing/)]);
    expect(() => openParser().parse(simple)).not.toThrow();
  }
});
