import { createHmac } from 'node:crypto';

const PREFIX = 'whsec_';

/**
 * Signs a message as Standard Webhooks 1 asks for: HMAC-SHA256 over `<id>.<seconds>.<body>`, in the header
 * `webhook-signature`. A secret with the prefix `whsec_` is base64, any other is taken as it is.
 */
export function signWebhook(
  secret: string,
  { id, seconds, body }: { id: string; seconds: number; body: string },
): string {
  const key = secret.startsWith(PREFIX)
    ? Buffer.from(secret.slice(PREFIX.length), 'base64')
    : Buffer.from(secret, 'utf8');
  return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')}`;
}
