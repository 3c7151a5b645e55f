import { writeFileSync } from 'node:fs';
import { wrapped } from '../harness/wrapped.ts';
import { errorPage } from '../src/contract/error-page.ts';
import { referencePage } from './reference.ts';

/** Writes the pages of `docs/` that are made from the code: `npm run docs`. Tests compare them. */
writeFileSync(new URL('../docs/errors.md', import.meta.url), wrapped(errorPage()));
writeFileSync(new URL('../docs/reference.md', import.meta.url), wrapped(referencePage()));
