import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ChildLimits } from '../contract/config-schema.ts';
import { poll } from '../lib/clock.ts';
import { identityOf, isRunning } from '../lib/process-identity.ts';

/** Moves its own process into the group named by the first argument, then executes the remaining arguments. */
const ENTER = ['/bin/sh', '-c', 'group="$1"; shift; echo 0 > "$group/cgroup.procs" && exec "$@"', 'sh'];
const NAME = /^sluice-(\d+)-/;
const EMPTY_LIMIT_MS = 5_000;
const LOOK_EVERY_MS = 5;
const CONTROLLERS = ['memory', 'pids'];
/** Allowance for the wrapper processes around a command, which count against `pids.max` too. */
const SURROUNDING = 3;

/** One child with all its descendants, including those that left its process group. */
export interface ControlGroup {
  /** Arguments to put before a command so that it runs in this group. */
  argv: string[];
  /** True when the kernel enforces the memory limit over the whole group. */
  limitsMemory: boolean;
  /** Kills the processes that are left in the group and removes it. */
  end(): Promise<void>;
}

/** Creates control groups (version 2) below a folder of the hierarchy that this process may divide. */
export class ControlGroups {
  readonly #folder: string;
  readonly #controllers: readonly string[];

  private constructor(folder: string, controllers: readonly string[]) {
    this.#folder = folder;
    this.#controllers = controllers;
  }

  /** Returns undefined when there is no control group hierarchy, or none that this process may divide. */
  static async find(): Promise<ControlGroups | undefined> {
    for (const folder of await placesOfOurs()) {
      try {
        // Fails while processes of ours are in the folder. Then the kernel enforces no limits, but groups can still be
        // killed.
        const wanted = CONTROLLERS.map((name) => `+${name}`).join(' ');
        await writeFile(join(folder, 'cgroup.subtree_control'), wanted).catch(() => {});
        const trial = await makeGroup(folder);
        const controllers = (await readFile(join(trial, 'cgroup.controllers'), 'utf8')).trim().split(' ');
        await endGroup(trial);
        await endGroupsOfTheDead(folder);
        return new ControlGroups(folder, controllers);
      } catch {
        // This process may not create groups there.
      }
    }
    return undefined;
  }

  /** True when the kernel enforces one of these limits for a whole group. */
  keeps({ memory_bytes, processes }: ChildLimits): boolean {
    const has = (controller: string) => this.#controllers.includes(controller);
    return (memory_bytes !== undefined && has('memory')) || (processes !== undefined && has('pids'));
  }

  async open({ memory_bytes, processes }: ChildLimits): Promise<ControlGroup> {
    const group = await makeGroup(this.#folder);
    const limitsMemory = memory_bytes !== undefined && this.keeps({ memory_bytes });
    if (limitsMemory) {
      await writeFile(join(group, 'memory.max'), String(memory_bytes));
      // Out of memory kills the whole group, because a partly killed child is worse than none.
      await writeFile(join(group, 'memory.oom.group'), '1');
    }
    if (processes !== undefined && this.keeps({ processes })) {
      await writeFile(join(group, 'pids.max'), String(processes + SURROUNDING));
    }
    return { argv: [...ENTER, group], limitsMemory, end: () => endGroup(group).catch(() => {}) };
  }
}

/** Returns the group of this process, after its parent where a service was given its own part of the hierarchy. */
async function placesOfOurs(): Promise<string[]> {
  const [mounts, own] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8').catch(() => ''),
    readFile('/proc/self/cgroup', 'utf8').catch(() => ''),
  ]);
  const mount = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(mounts)?.[1];
  const path = /^0::(\/.*)$/m.exec(own)?.[1];
  if (mount === undefined || path === undefined || path.startsWith('/..')) return [];
  const ours = join(mount, path);
  const above = dirname(ours);
  return basename(above).endsWith('.service') ? [above, ours] : [ours];
}

/** Puts our process id into the name, so that a later process can remove the group after this one is gone. */
async function makeGroup(folder: string): Promise<string> {
  const group = join(folder, `sluice-${process.pid}-${randomUUID()}`);
  await mkdir(group);
  return group;
}

async function endGroupsOfTheDead(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const maker = NAME.exec(name)?.[1];
    if (maker === undefined || (await isRunning(await identityOf(Number(maker))))) continue;
    await endGroup(join(folder, name)).catch(() => {});
  }
}

async function endGroup(group: string): Promise<void> {
  await writeFile(join(group, 'cgroup.kill'), '1');
  const isEmpty = async (): Promise<true | undefined> =>
    (await readFile(join(group, 'cgroup.events'), 'utf8')).includes('populated 0') || undefined;
  await poll(isEmpty, { everyMs: LOOK_EVERY_MS, limitMs: EMPTY_LIMIT_MS });
  // Not awaited: the kernel takes a while to remove a group, and nothing depends on it.
  void rmdir(group).catch(() => {});
}
