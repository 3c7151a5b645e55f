const TRAILER = /^[A-Za-z0-9][A-Za-z0-9-]*\s*:/;
/** Lines that make git accept a block of trailers even if it holds other text (git-interpret-trailers). */
const MADE_BY_GIT = /^(Signed-off-by: |\(cherry picked from commit )/;

/** Adds trailers to a message, in its own trailer block if it ends with one, so that git reads all of them. */
export function withTrailers(message: string, trailers: readonly string[]): string {
  const text = message.trim();
  return `${text}${endsWithTrailers(text) ? '\n' : '\n\n'}${trailers.join('\n')}\n`;
}

/** True when git reads the last paragraph as trailers; the first paragraph is the subject and never is. */
function endsWithTrailers(text: string): boolean {
  const lines = text.split('\n');
  const gap = lines.findLastIndex((line) => line.trim() === '');
  if (gap === -1) return false;
  const block = lines.slice(gap + 1);
  let [trailers, others] = [0, 0];
  for (const [index, line] of block.entries()) {
    const continues = index > 0 && /^[ \t]/.test(line);
    if (TRAILER.test(line) || MADE_BY_GIT.test(line)) trailers += 1;
    else if (!continues) others += 1;
  }
  if (trailers === 0) return false;
  return others === 0 || (block.some((line) => MADE_BY_GIT.test(line)) && trailers * 3 >= others);
}
