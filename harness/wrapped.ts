const COLUMNS = 100;

/** Wraps the prose of a Markdown page at 100 columns; headings and tables stay as they are. */
export function wrapped(page: string): string {
  return page
    .split('\n\n')
    .map((block) => (/^[|#]/.test(block.trim()) ? block : wrappedParagraph(block)))
    .join('\n\n');
}

function wrappedParagraph(block: string): string {
  const lines = [''];
  for (const word of block.trim().split(/\s+/)) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + word.length >= COLUMNS) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return `${lines.join('\n')}${block.endsWith('\n') ? '\n' : ''}`;
}
