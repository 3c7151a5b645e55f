import type { Argument, Command, Option } from 'commander';

/** Words that may follow those of a command: its subcommands, its options, and the values of its arguments. */
interface Place {
  /** Words before it, without the program: `run list`. */
  path: string;
  commands: readonly Command[];
  options: readonly Option[];
  /** Values of its arguments, where they are a closed set. */
  values: readonly string[];
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * Returns a script that completes commands, options and closed values. It runs no program, so that a key is answered at
 * once.
 */
export function completionScript(program: Command, shell: Shell): string {
  const places = placesOf(program, []);
  return shell === 'fish' ? fishScript(program, places) : bashScript(program, places, shell);
}

function placesOf(command: Command, path: readonly string[]): Place[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((each) => each.name() !== 'help');
  const place = {
    path: path.join(' '),
    commands,
    options: help.visibleOptions(command),
    values: command.registeredArguments.flatMap(({ argChoices }: Argument) => argChoices ?? []),
  };
  return [place, ...commands.flatMap((each) => placesOf(each, [...path, each.name()]))];
}

/** A function that finds the place from the words before the cursor. zsh emulates the completion of bash. */
function bashScript(program: Command, places: readonly Place[], shell: Shell): string {
  const global = program.createHelp().visibleOptions(program);
  const withValue = [...new Set(places.flatMap(({ options }) => options.filter(takesValue).flatMap(flagsOf)))];
  const arms = places.map((place) => {
    const words = [
      ...place.commands.map((each) => each.name()),
      ...place.values,
      ...new Set([...place.options, ...global].flatMap(flagsOf)),
    ];
    return `    ${quoted(place.path)}) words=${quoted(words.join(' '))} ;;`;
  });
  const choices = choicesOf(places).map(
    ([path, option]) =>
      `    ${flagsOf(option)
        .map((flag) => quoted(`${path}|${flag}`))
        .join('|')}) words=${quoted(option.argChoices!.join(' '))} ;;`,
  );
  const known = places.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  return `${shell === 'zsh' ? 'autoload -U +X compinit bashcompinit\ncompinit\nbashcompinit\n' : ''}_sluice() {
  local current previous place='' word words='' skip='' i
  current="\${COMP_WORDS[COMP_CWORD]}"
  previous="\${COMP_WORDS[COMP_CWORD-1]}"
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [ -n "$skip" ]; then skip=''; continue; fi
    case "$word" in
      ${withValue.map(quoted).join('|')}) skip=1; continue ;;
      -*) continue ;;
    esac
    case "\${place:+$place }$word" in
      ${known.join('|')}) place="\${place:+$place }$word" ;;
    esac
  done
  case "$place" in
${arms.join('\n')}
  esac
  case "$previous" in
    ${withValue.map(quoted).join('|')}) words='' ;;
  esac
  case "$place|$previous" in
${choices.join('\n')}
  esac
  COMPREPLY=()
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$words" -- "$current")
}
complete -o default -F _sluice sluice
`;
}

function fishScript(program: Command, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, options, values }) => {
    const at = `-n ${quoted(`__sluice_at ${quoted(path)}`)}`;
    return [
      ...commands.map(
        (each) => `complete -c sluice -f ${at} -a ${each.name()} -d ${quoted(firstWords(each.description()))}`,
      ),
      ...values.map((value) => `complete -c sluice -f ${at} -a ${quoted(value)}`),
      ...options.map((option) => `complete -c sluice ${at} ${fishOption(option)}`),
    ];
  });
  const known = places.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  return `function __sluice_at
  set -l place ''
  for word in (commandline -opc)[2..-1]
    set -l next (string trim -- "$place $word")
    if contains -- $next ${known.join(' ')}
      set place $next
    end
  end
  test "$place" = "$argv[1]"
end
${lines.join('\n')}
${program
  .createHelp()
  .visibleOptions(program)
  .filter(({ long }) => long !== '--version' && long !== '--help')
  .map((option) => `complete -c sluice -n ${quoted('not __sluice_at ""')} ${fishOption(option)}`)
  .join('\n')}
`;
}

function fishOption(option: Option): string {
  const { short, long, description, argChoices } = option;
  return [
    ...(short === undefined ? [] : [`-s ${short.slice(1)}`]),
    ...(long === undefined ? [] : [`-l ${long.slice(2)}`]),
    ...(takesValue(option) ? ['-r'] : []),
    ...(argChoices === undefined ? [] : [`-f -a ${quoted(argChoices.join(' '))}`]),
    `-d ${quoted(firstWords(description))}`,
  ].join(' ');
}

/** Options with a closed set of values, with their place; those of the program belong to each place. */
function choicesOf(places: readonly Place[]): [path: string, Option][] {
  const [root, ...others] = places;
  const global = root!.options;
  return [root!, ...others].flatMap(({ path, options }) =>
    [...options, ...(path === '' ? [] : global)]
      .filter(({ argChoices }) => argChoices !== undefined)
      .map((option): [string, Option] => [path, option]),
  );
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

function flagsOf({ short, long }: Option): string[] {
  return [short, long].filter((flag) => flag !== undefined);
}

function firstWords(description: string): string {
  return description.split(/[:;,.]/)[0]!.trim();
}

/** Quotes text for all three shells: single quotes, with an escaped one for each within. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
