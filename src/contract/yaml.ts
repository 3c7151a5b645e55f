import { isScalar, parseDocument, visit } from 'yaml';

/** Parses one document in time proportional to its length. Throws for a key that a mapping holds twice. */
export function parseYaml(text: string): unknown {
  // The library's own check for duplicate keys compares all pairs, which takes quadratic time.
  const document = parseDocument(text, { uniqueKeys: false });
  if (document.errors.length > 0) throw document.errors[0];
  visit(document, {
    Map: (_key, { items }) => {
      const known = new Set<unknown>();
      for (const { key } of items) {
        const value = isScalar(key) ? key.value : key;
        if (known.has(value)) throw new Error(`the key ${String(value).slice(0, 100)} is used twice in one mapping`);
        known.add(value);
      }
    },
  });
  return document.toJS({ maxAliasCount: 100 });
}
