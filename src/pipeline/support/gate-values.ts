import type { GateValues } from '../../domain/gates-in-force.ts';
import type { VerdictSeal } from '../../domain/verdict-seal.ts';
import type { GateVariables } from './ports.ts';

/** Hashes the values of a repository's gate variables, to compare those of two workers. Empty without a key. */
export function gateValues(
  { seal, gateVariables }: { seal: VerdictSeal; gateVariables: GateVariables },
  url: string,
): GateValues {
  const hashes = Object.entries(gateVariables(url)).map(
    ([name, value]) => [name, seal.hashOf(url, name, value)] as const,
  );
  return Object.fromEntries(hashes.filter((entry): entry is [string, string] => entry[1] !== null));
}
