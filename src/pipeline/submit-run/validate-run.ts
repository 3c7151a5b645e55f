import type { Problem } from '../../contract/errors.ts';
import { SluiceError } from '../../contract/errors.ts';
import { LIMITS } from '../../contract/fields.ts';
import { describeProblems, firstProblems, guess, pathText, problemsIn } from '../../contract/parse.ts';
import { patchBytes, patchInputSchema } from '../../contract/patch-input.ts';
import {
  commandInputSchema,
  type RunSpec,
  readableSpec,
  runSpecSchema,
  type TaskSpec,
} from '../../contract/run-spec.ts';
import { graphProblems } from '../../domain/spec-graph.ts';
import { valueAt } from '../../tools/placeholders.ts';
import type { CommandTool } from '../../tools/tool.ts';
import type { RepositoryBook, Tools } from '../support/ports.ts';

export interface ValidateRunDeps {
  tools: Tools;
  repositories: RepositoryBook;
  allowCommands: boolean;
}

const OUR_TRAILER = /^sluice-(run|task|patch)\s*:/im;

/**
 * Checks a spec's form and references. Throws `spec.invalid` with the problems of both and their paths. Writes nothing.
 */
export function validateRun(deps: ValidateRunDeps, document: unknown): RunSpec {
  const parsed = runSpecSchema.safeParse(document);
  const formal = parsed.success ? [] : problemsIn(parsed.error, runSpecSchema);
  // The readable parts of a malformed document are checked as well, so that all problems come in one answer.
  const spec = parsed.success ? parsed.data : readableSpec(document);
  const further = [
    ...unstorable(spec, []),
    ...graphProblems(spec),
    ...placeProblems(deps, spec),
    ...taskProblems(deps, spec),
  ];
  const known = new Set(formal.map(({ path }) => path));
  const problems = firstProblems([...formal, ...further.filter(({ path }) => !known.has(path))]);
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new SluiceError('spec.invalid', `run spec: ${describeProblems(problems)}`, { problems });
}

/** Reports text that the ledger cannot store. A patch's content may hold anything, because it is stored as bytes. */
function unstorable(value: unknown, path: readonly PropertyKey[]): Problem[] {
  if (typeof value === 'string') {
    if (path.at(-1) === 'content' || (!value.includes('\0') && value.isWellFormed())) return [];
    return [{ path: pathText(path), message: 'holds NUL or a lone surrogate' }];
  }
  if (typeof value !== 'object' || value === null) return [];
  const entries = Array.isArray(value) ? value.entries() : Object.entries(value);
  return [...entries].flatMap(([key, item]) => unstorable(item, [...path, key]));
}

function placeProblems({ repositories, allowCommands }: ValidateRunDeps, spec: RunSpec): Problem[] {
  const problems: Problem[] = [];
  try {
    repositories.resolve(spec.repository);
  } catch (error) {
    problems.push({ path: 'repository', message: (error as Error).message });
  }
  if (spec.extra_gates.length > 0 && !allowCommands) {
    problems.push({
      path: 'extra_gates',
      message: 'gates of a run are free commands, which allow_commands does not allow here',
    });
  }
  const tasks = spec.workstreams.reduce((sum, workstream) => sum + workstream.tasks.length, 0);
  if (tasks > LIMITS.tasksPerRun) {
    problems.push({ path: 'workstreams', message: `${tasks} tasks: at most ${LIMITS.tasksPerRun} in one run` });
  }
  return problems;
}

function taskProblems(deps: ValidateRunDeps, spec: RunSpec): Problem[] {
  return spec.workstreams.flatMap((workstream, w) =>
    workstream.tasks.flatMap((task, t) => {
      const at = ['workstreams', w, 'tasks', t] as const;
      const problem = (key: PropertyKey[], message: string): Problem => ({ path: pathText([...at, ...key]), message });
      const trailer = OUR_TRAILER.test(task.message ?? '')
        ? [problem(['message'], 'holds a trailer that Sluice writes itself')]
        : [];
      return [...trailer, ...toolProblems(deps, task, problem)];
    }),
  );
}

function toolProblems(
  { tools, allowCommands }: ValidateRunDeps,
  task: TaskSpec,
  problem: (key: PropertyKey[], message: string) => Problem,
): Problem[] {
  // Missing or not a string, which is reported as a problem of form already.
  if (task.tool === '') return [];
  if (task.tool === 'patch') return patchProblems(task.input, problem);
  const tool = tools.find(task.tool);
  if (tool === undefined) {
    return [problem(['tool'], `there is no tool ${task.tool}${guess(task.tool, tools.names())}`)];
  }
  if (task.tool !== 'command') return inputProblems(tool, task.input, problem);
  if (!allowCommands) return [problem(['tool'], 'free commands are not allowed here (allow_commands): declare a tool')];
  const parsed = commandInputSchema.safeParse(task.input);
  return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => problem(['input', ...path], message));
}

/**
 * Reports placeholders without a value, which would run the tool with an empty prompt, and keys that nothing reads,
 * which are probably misspelt.
 */
function inputProblems(
  { name, placeholders, inputKeys }: CommandTool,
  input: Readonly<Record<string, unknown>>,
  problem: (key: PropertyKey[], message: string) => Problem,
): Problem[] {
  if (placeholders.length === 0 && inputKeys.length === 0) return [];
  const given = Object.keys(input);
  const used = [...new Set([...placeholders.map((path) => path.split('.')[0]!), ...inputKeys])];
  const missing = placeholders.filter((path) => valueAt(input, path) === undefined);
  return [
    ...missing.map((path) =>
      problem(['input', ...path.split('.')], `the tool ${name} needs this key, and it is missing${guess(path, given)}`),
    ),
    ...given
      .filter((key) => !used.includes(key))
      .map((key) => problem(['input', key], `the tool ${name} does not use this key${guess(key, used)}`)),
  ];
}

function patchProblems(input: unknown, problem: (key: PropertyKey[], message: string) => Problem): Problem[] {
  const parsed = patchInputSchema.safeParse(input);
  if (!parsed.success) return parsed.error.issues.map(({ path, message }) => problem(['input', ...path], message));
  const sizeBytes = patchBytes(parsed.data).length;
  return sizeBytes > LIMITS.patchBytes
    ? [problem(['input'], `the patch has ${sizeBytes} bytes: at most ${LIMITS.patchBytes}`)]
    : [];
}
