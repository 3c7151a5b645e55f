/** Each scope includes the ones before it. */
export const TOKEN_SCOPES = ['read', 'submit', 'operate', 'admin'] as const;
export type TokenScope = (typeof TOKEN_SCOPES)[number];

export function allows(granted: readonly string[], needed: TokenScope): boolean {
  const level = Math.max(...granted.map((scope) => TOKEN_SCOPES.indexOf(scope as TokenScope)));
  return level >= TOKEN_SCOPES.indexOf(needed);
}
