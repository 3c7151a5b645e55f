import type { GateRoom } from '../../domain/gates-in-force.ts';
import type { MachineFault } from '../../lib/machine-fault.ts';
import type { CommandTool } from '../../tools/tool.ts';

/** What the stages need of the world above them; `deps.ts` gives it. */

export interface Publisher {
  publish(
    family: 'tasks' | 'gates',
    messages: readonly { id: string; dispatch: number; pool: string; name: string }[],
  ): Promise<void>;
}

/** The work that a process holds. `begin` gives a signal that aborts on cancel, lost lease or shutdown. */
export interface HeldWorkRegistry {
  begin(id: string, attempt: number): AbortSignal;
  end(id: string, attempt: number): void;
}

/** Told when this machine is out of something: it takes no more work until that has changed. */
export type OnMachineFault = (fault: MachineFault) => void;

export interface Tools {
  find(name: string): CommandTool | undefined;
  names(): string[];
}

/** Does nothing, but in tests of what a death at that place leaves behind. */
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

/** Of the daemon's variables those that the repository at an address may have: those that are named, or all. */
export type GateVariables = (url: string, names?: readonly string[]) => Record<string, string>;

/** What a repository's name stands for. */
export interface RepositoryBook {
  /** Throws `repository.not_allowed`. */
  resolve(repository: string): { name: string; url: string };
  committer(repository: string): { name: string; email: string };
  /** Variables that gates and `prepare` steps of the repository at an address may ask for. */
  gateVariables(url: string): readonly string[];
  /** Where gates of the repository at an address run; what their variables hold is the worker's to say. */
  gateRoom(url: string): Omit<GateRoom, 'values'>;
}
