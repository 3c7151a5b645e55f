import type { Problem } from '../contract/errors.ts';
import { guess } from '../contract/parse.ts';
import type { RunSpec } from '../contract/run-spec.ts';

interface Named {
  name: string;
  depends_on: readonly string[];
}

/** Returns what no schema can check: names used twice, dangling `depends_on`, cycles. Empty when the graph is sound. */
export function graphProblems(spec: RunSpec): Problem[] {
  return [
    ...siblingProblems(spec.workstreams, 'workstreams'),
    ...spec.workstreams.flatMap((workstream, index) =>
      siblingProblems(workstream.tasks, `workstreams[${index}].tasks`),
    ),
  ];
}

function siblingProblems(siblings: readonly Named[], path: string): Problem[] {
  const problems: Problem[] = [];
  const indexOf = new Map<string, number>();
  for (const [index, { name }] of siblings.entries()) {
    const first = indexOf.get(name);
    if (first === undefined) indexOf.set(name, index);
    else problems.push({ path: `${path}[${index}].name`, message: `used twice: ${name} is ${path}[${first}] already` });
  }
  for (const [index, { depends_on }] of siblings.entries()) {
    for (const [position, dependency] of depends_on.entries()) {
      if (indexOf.has(dependency)) continue;
      const message = `nothing beside it is named ${dependency}${guess(dependency, [...indexOf.keys()])}`;
      problems.push({ path: `${path}[${index}].depends_on[${position}]`, message });
    }
  }
  if (problems.length > 0) return problems;
  const cycle = findCycle(siblings);
  return cycle === undefined ? [] : [{ path, message: `depend on each other: ${cycle.join(' → ')}` }];
}

/** Names along one cycle, first repeated at the end. Iterative: a chain of 100,000 tasks is legal. */
function findCycle(siblings: readonly Named[]): string[] | undefined {
  const byName = new Map(siblings.map((sibling) => [sibling.name, sibling]));
  const done = new Set<string>();
  for (const { name: root } of siblings) {
    if (done.has(root)) continue;
    const trail: { name: string; next: number }[] = [{ name: root, next: 0 }];
    const onTrail = new Set([root]);
    while (trail.length > 0) {
      const top = trail.at(-1)!;
      const dependency = byName.get(top.name)!.depends_on[top.next];
      top.next += 1;
      if (dependency === undefined) {
        done.add(top.name);
        onTrail.delete(top.name);
        trail.pop();
      } else if (onTrail.has(dependency)) {
        const names = trail.map(({ name }) => name);
        return [...names.slice(names.indexOf(dependency)), dependency];
      } else if (!done.has(dependency)) {
        onTrail.add(dependency);
        trail.push({ name: dependency, next: 0 });
      }
    }
  }
  return undefined;
}
