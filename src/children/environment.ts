import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DAEMON_VARIABLES, CHILD_VARIABLES as NAMES } from '../contract/variables.ts';
import type { Slot } from '../workspaces/slot.ts';

export interface ChildContext {
  runId: string;
  taskId: string;
  attempt: number;
  baseCommit: string;
  input: unknown;
  evidence: unknown;
}

/** Builds one child's environment and writes the files that it names. Only PATH comes from the daemon's environment. */
export async function childEnvironment(
  slot: Slot,
  context: ChildContext,
  daemon: Readonly<Record<string, string | undefined>>,
): Promise<Record<string, string>> {
  const { home, tmp, out, given } = slot.child;
  for (const folder of [home, tmp, out, given]) await mkdir(folder, { recursive: true });
  const inputFile = join(given, 'input.json');
  await writeFile(inputFile, JSON.stringify(context.input));
  const environment: Record<string, string> = {
    PATH: daemon.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    HOME: home,
    TMPDIR: tmp,
    CI: 'true',
    [NAMES.runId]: context.runId,
    [NAMES.taskId]: context.taskId,
    [NAMES.attempt]: String(context.attempt),
    [NAMES.baseCommit]: context.baseCommit,
    [NAMES.slot]: String(slot.number),
    [NAMES.inputFile]: inputFile,
    [NAMES.messageFile]: messageFile(slot),
    [NAMES.costFile]: costFile(slot),
  };
  if (context.evidence !== null) {
    const evidenceFile = join(given, 'evidence.json');
    await writeFile(evidenceFile, JSON.stringify(context.evidence));
    environment[NAMES.evidenceFile] = evidenceFile;
  }
  return environment;
}

/** Returns the variables that a tool, a gate or a step names, without those that the daemon does not have. */
export function namedVariables(
  names: readonly string[],
  daemon: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names.filter(isNobodysSecret)) {
    const value = daemon[name];
    if (value !== undefined) found[name] = value;
  }
  return found;
}

/** False for the daemon's own settings, which hold passwords and tokens: no policy and no tool may request them. */
function isNobodysSecret(name: string): boolean {
  return !(DAEMON_VARIABLES as readonly string[]).includes(name);
}

export function messageFile(slot: Slot): string {
  return join(slot.child.out, 'message.txt');
}

export function costFile(slot: Slot): string {
  return join(slot.child.out, 'cost.json');
}
