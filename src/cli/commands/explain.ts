import type { Command } from 'commander';
import { type CliContext, clientOf, print } from '../context.ts';
import { evidenceLines } from '../evidence.ts';
import { plain } from '../table.ts';

const EVIDENCE_LINES = 10;

export function explainCommand(program: Command, context: CliContext): void {
  program
    .command('explain')
    .description('why a run, workstream, task, patch, gate, worker, target or tool is in its state')
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      const found = await clientOf(context, command).explain(id);
      print(context, command, found, () => {
        const again = found.again_at === null ? found.again_when : `${found.again_when}, at ${found.again_at}`;
        const evidence = found.facts.evidence as Record<string, unknown> | null | undefined;
        return [
          `${found.kind} ${plain(found.id)} ${found.state} ${plain(found.sentence)}`,
          ...evidenceLines(evidence, EVIDENCE_LINES).map((line) => `  | ${line}`),
          `  ${found.code}; checked again ${plain(again)}`,
        ].join('\n');
      });
    });
}
