import { z } from 'zod';
import { configSchema } from './config-schema.ts';
import { policySchema } from './policy.ts';
import { runSpecSchema } from './run-spec.ts';

/** Documents that people write, by the name under which their JSON Schema is known. */
const DOCUMENTS = { policy: policySchema, config: configSchema, run: runSpecSchema };

export type DocumentName = keyof typeof DOCUMENTS;
export const DOCUMENT_NAMES = Object.keys(DOCUMENTS) as DocumentName[];

/** Path of the daemon at which editors find the JSON Schemas: `/schemas/policy.json`. */
export const SCHEMAS_PATH = '/schemas';

/** Returns the JSON Schema of a document, as an editor checks it: keys with a default may be missing. */
export function jsonSchemaOf(document: DocumentName): object {
  return z.toJSONSchema(DOCUMENTS[document], { io: 'input' });
}

/** First line of a YAML file, by which editors with a YAML language server check it against its schema. */
export function editorLine(document: DocumentName): string {
  return `# yaml-language-server: $schema=http://127.0.0.1:7411${SCHEMAS_PATH}/${document}.json`;
}
