export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** File in which a daemon stores the token of its machine, for the CLI and the client. */
export function localTokenFile(dataDir: string): string {
  return `${dataDir}/local.token`;
}

/** Each scope includes the ones before it. */
export const TOKEN_SCOPES = ['read', 'submit', 'operate', 'admin'] as const;
export type TokenScope = (typeof TOKEN_SCOPES)[number];

export function allows(granted: readonly string[], needed: TokenScope): boolean {
  const level = Math.max(...granted.map((scope) => TOKEN_SCOPES.indexOf(scope as TokenScope)));
  return level >= TOKEN_SCOPES.indexOf(needed);
}
