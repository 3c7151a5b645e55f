import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ChildLimits } from '../contract/config-schema.ts';
import { poll } from '../lib/clock.ts';
import { identityOf, isRunning } from '../lib/process-identity.ts';

/** Enters the group that its first argument names, then becomes the rest. */
const ENTER = ['/bin/sh', '-c', 'group="$1"; shift; echo 0 > "$group/cgroup.procs" && exec "$@"', 'sh'];
const NAME = /^sluice-(\d+)-/;
const EMPTY_LIMIT_MS = 5_000;
const LOOK_EVERY_MS = 5;
const CONTROLLERS = ['memory', 'pids'];
/** The programs that stand around a command. */
const SURROUNDING = 3;

/** One child with all that it starts, wherever that goes. */
export interface ControlGroup {
  /** What stands before a command. */
  argv: string[];
  /** True where the kernel keeps the limit on memory for all of them together. */
  limitsMemory: boolean;
  /** Ends what is left of it. */
  end(): Promise<void>;
}

/** Control groups (version 2) where the part of the tree that we live in is ours to divide. */
export class ControlGroups {
  readonly #folder: string;
  readonly #controllers: readonly string[];

  private constructor(folder: string, controllers: readonly string[]) {
    this.#folder = folder;
    this.#controllers = controllers;
  }

  /** Undefined where there are none, or none that we may divide. */
  static async find(): Promise<ControlGroups | undefined> {
    for (const folder of await placesOfOurs()) {
      try {
        // Fails where processes of ours are in it; then the kernel keeps no limits, and ends all the same.
        const wanted = CONTROLLERS.map((name) => `+${name}`).join(' ');
        await writeFile(join(folder, 'cgroup.subtree_control'), wanted).catch(() => {});
        const trial = await makeGroup(folder);
        const controllers = (await readFile(join(trial, 'cgroup.controllers'), 'utf8')).trim().split(' ');
        await endGroup(trial);
        await endGroupsOfTheDead(folder);
        return new ControlGroups(folder, controllers);
      } catch {
        // Not ours.
      }
    }
    return undefined;
  }

  /** True where the kernel keeps one of these limits for a whole group. */
  keeps({ memory_bytes, processes }: ChildLimits): boolean {
    const has = (controller: string) => this.#controllers.includes(controller);
    return (memory_bytes !== undefined && has('memory')) || (processes !== undefined && has('pids'));
  }

  async open({ memory_bytes, processes }: ChildLimits): Promise<ControlGroup> {
    const group = await makeGroup(this.#folder);
    const limitsMemory = memory_bytes !== undefined && this.keeps({ memory_bytes });
    if (limitsMemory) {
      await writeFile(join(group, 'memory.max'), String(memory_bytes));
      // Half of a child would be worse than none.
      await writeFile(join(group, 'memory.oom.group'), '1');
    }
    if (processes !== undefined && this.keeps({ processes })) {
      await writeFile(join(group, 'pids.max'), String(processes + SURROUNDING));
    }
    return { argv: [...ENTER, group], limitsMemory, end: () => endGroup(group).catch(() => {}) };
  }
}

/** Where our own process is, and what lies above it where a service was given its own part of the tree. */
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

/** Named by the process that made it: another one ends it when that is gone. */
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
  // The kernel takes its time over it, and nothing waits for that.
  void rmdir(group).catch(() => {});
}
