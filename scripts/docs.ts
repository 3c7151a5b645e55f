import { writeFileSync } from 'node:fs';
import { wrapped } from '../harness/wrapped.ts';
import { errorPage } from '../src/contract/error-page.ts';
import { pythonActions, pythonModels } from './python-client.ts';
import { referencePage } from './reference.ts';

/** Writes what is made from the code, pages of `docs/` and parts of the Python client: `npm run docs`. Tests compare them. */
writeFileSync(new URL('../docs/errors.md', import.meta.url), wrapped(errorPage()));
writeFileSync(new URL('../docs/reference.md', import.meta.url), wrapped(referencePage()));
const python = new URL('../clients/python/sluice_client/', import.meta.url);
writeFileSync(new URL('models.py', python), pythonModels());
writeFileSync(new URL('actions.py', python), pythonActions());
