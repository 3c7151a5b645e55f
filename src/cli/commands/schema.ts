import { Argument, type Command } from 'commander';
import { DOCUMENT_NAMES, type DocumentName, jsonSchemaOf } from '../../contract/documents.ts';
import type { CliContext } from '../context.ts';

export function schemaCommand(program: Command, context: CliContext): void {
  program
    .command('schema')
    .description('print the JSON Schema of .sluice.yaml, sluice.config.yaml or a run spec, for editors')
    .addArgument(new Argument('<document>').choices(DOCUMENT_NAMES))
    .action((document: DocumentName) => {
      context.stdout.write(`${JSON.stringify(jsonSchemaOf(document), null, 2)}\n`);
    });
}
