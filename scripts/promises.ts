import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Writes `test/README.md`: which promise is proven where, from the titles of the tests. */
const ROOT = join(import.meta.dirname, '..');
const TITLE = /(?<=[(\s])(['`])((?:P\d+(?:, )?)+): (.*?)\1[,)]/g;

interface Proof {
  promises: string[];
  title: string;
  path: string;
}

function proofs(): Proof[] {
  return globSync('test/**/*.test.ts', { cwd: ROOT })
    .toSorted()
    .flatMap((path) =>
      [...readFileSync(join(ROOT, path), 'utf8').matchAll(TITLE)].map(([, , promises, title]) => ({
        promises: promises!.split(', '),
        title: title!,
        path,
      })),
    );
}

/** Returns the promises of ARCHITECTURE.md, by their numbers. */
function promises(): Map<string, string> {
  const page = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  return new Map([...page.matchAll(/^\| (P\d+) \| (.*) \|$/gm)].map(([, name, text]) => [name!, text!]));
}

export function testReadme(): string {
  const found = proofs();
  const parts = [...promises()].map(([name, text]) => {
    const rows = found
      .filter(({ promises }) => promises.includes(name))
      .map(({ path, title }) => `| [${path.slice('test/'.length)}](${path.slice('test/'.length)}) | ${title} |`);
    return `## ${name}\n\n${text}.\n\n| file | title |\n|---|---|\n${rows.join('\n')}`;
  });
  return `# Which promise is proven where

Made by \`node scripts/promises.ts\` from the titles of the tests; a test compares the two.
[CONTRIBUTING.md](../CONTRIBUTING.md) tells how to run one test.

${parts.join('\n\n')}
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(join(ROOT, 'test/README.md'), testReadme());
}
