import { expect, test } from 'vitest';
import { signWebhook } from '../../../src/lib/webhook-signature.ts';

test('a message is signed as the example of Standard Webhooks is', () => {
  const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', seconds: 1_614_265_330, body: '{"test": 2432232314}' };
  const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
  expect(signWebhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', message)).toBe(signature);
  const plain = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64').toString('latin1');
  expect(signWebhook('another', message)).not.toBe(signWebhook(plain, message));
});
