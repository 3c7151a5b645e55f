import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs';

const CLOSE_ON_EXEC = 0o2_000_000;
const HIGHEST = 4_096;

type Stream = 'pipe' | 'ignore' | 'ipc' | number;

/**
 * Returns `stdio` for `spawn`: the given streams, and /dev/null over each file that this process inherited open from
 * its parent (a socket of a service manager, a file of a shell). Node opens its own files with close-on-exec; the
 * inherited ones lack it, so a child could read and write them.
 */
export function ownStreamsOnly(streams: readonly Stream[]): Stream[] {
  inherited ??= inheritedDescriptors();
  if (inherited.length === 0) return [...streams];
  nothing ??= openSync('/dev/null', 'r');
  const stdio: Stream[] = [...streams];
  for (const descriptor of inherited) {
    while (stdio.length < descriptor) stdio.push('ignore');
    stdio[descriptor] = nothing;
  }
  return stdio;
}

let inherited: readonly number[] | undefined;
let nothing: number | undefined;

function inheritedDescriptors(): number[] {
  // Without this folder the host is not Linux, and the open files cannot be listed.
  if (!existsSync('/proc/self/fd')) return [];
  const open = readdirSync('/proc/self/fd').map(Number);
  return open
    .filter((descriptor) => descriptor > 2 && descriptor < HIGHEST && !closesAtExec(descriptor))
    .sort((a, b) => a - b);
}

function closesAtExec(descriptor: number): boolean {
  try {
    const [, flags] = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')) ?? [];
    return (Number.parseInt(flags ?? '0', 8) & CLOSE_ON_EXEC) !== 0;
  } catch {
    // The file is closed already, like the descriptor that listed the folder.
    return true;
  }
}
