import type { GateRoom } from '../../domain/gates-in-force.ts';
import type { Work } from '../../domain/work.ts';
import type { MachineFault } from '../../lib/machine-fault.ts';
import type { CommandTool } from '../../tools/tool.ts';

/** Interfaces that the stages need from the layers above them; `deps.ts` provides them. */

export interface Publisher {
  publish(
    family: 'tasks' | 'gates',
    messages: readonly { pool: string; name: string; work: readonly [Work, ...Work[]] }[],
  ): Promise<void>;
}

/** The work that a process holds. `begin` gives a signal that aborts on cancel, lost lease or shutdown. */
export interface HeldWorkRegistry {
  begin(id: string, attempt: number): AbortSignal;
  end(id: string, attempt: number): void;
}

/** Called when this host is out of a resource. The worker takes no more work until that has changed. */
export type OnMachineFault = (fault: MachineFault) => void;

export interface Tools {
  find(name: string): CommandTool | undefined;
  names(): string[];
}

/** Does nothing, except in tests of what a crash at that point leaves behind. */
export type CrashPoint = (name: CrashPointName) => Promise<void>;
export type CrashPointName =
  | 'before-intent'
  | 'before-push'
  | 'after-push'
  | 'after-settle'
  | 'gate-claimed'
  | 'gate-checked-out'
  | 'gate-judged';

export const noCrashPoint: CrashPoint = async () => {};

/** Returns those of the daemon's variables that the repository at an address may have: the named ones, or all. */
export type GateVariables = (url: string, names?: readonly string[]) => Record<string, string>;

/** The configured repositories, by name and by address. */
export interface RepositoryBook {
  /** Throws `repository.not_allowed`. */
  resolve(repository: string): { name: string; url: string };
  committer(repository: string): { name: string; email: string };
  /** Variables that gates and `prepare` steps of the repository at an address may ask for. */
  gateVariables(url: string): readonly string[];
  /** Returns the conditions under which gates of a repository run; the worker adds the variables' values. */
  gateRoom(url: string): Omit<GateRoom, 'values'>;
}
