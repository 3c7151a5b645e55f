import { Argument, type Command } from 'commander';
import { z } from 'zod';
import { configSchema } from '../../contract/config-schema.ts';
import { policySchema } from '../../contract/policy.ts';
import { runSpecSchema } from '../../contract/run-spec.ts';
import type { CliContext } from '../context.ts';

const SCHEMAS = { policy: policySchema, config: configSchema, run: runSpecSchema };

export function schemaCommand(program: Command, context: CliContext): void {
  program
    .command('schema')
    .description('print the JSON Schema of .sluice.yaml, sluice.config.yaml or a run spec, for editors')
    .addArgument(new Argument('<document>').choices(Object.keys(SCHEMAS)))
    .addHelpText('after', '\nExample: sluice schema policy > sluice-policy.schema.json')
    .action((document: keyof typeof SCHEMAS) => {
      const schema = z.toJSONSchema(SCHEMAS[document], { io: 'input' });
      context.stdout.write(`${JSON.stringify(schema, null, 2)}\n`);
    });
}
