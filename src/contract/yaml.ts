import { isScalar, parseDocument, visit } from 'yaml';

/** Parses one document in time proportional to its length. Throws for a key that stands twice in one mapping. */
export function parseYaml(text: string): unknown {
  // The library's own look for keys that stand twice compares each with each.
  const document = parseDocument(text, { uniqueKeys: false });
  if (document.errors.length > 0) throw document.errors[0];
  visit(document, {
    Map: (_key, { items }) => {
      const known = new Set<unknown>();
      for (const { key } of items) {
        const value = isScalar(key) ? key.value : key;
        if (known.has(value)) throw new Error(`the key ${String(value).slice(0, 100)} stands twice`);
        known.add(value);
      }
    },
  });
  return document.toJS({ maxAliasCount: 100 });
}
