import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { postJson } from '../../../src/lib/post-json.ts';

let seen: { path: string; body: string; header: unknown }[] = [];
const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  seen.push({ path: request.url!, body, header: request.headers['x-test'] });
  if (request.url === '/never') return;
  if (request.url === '/cut') return void request.socket.destroy();
  if (request.url === '/switch') {
    request.socket.end('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n');
    return;
  }
  if (request.url === '/endless') {
    response.writeHead(200).write('a');
    return;
  }
  response.writeHead(request.url === '/moved' ? 302 : 204, { location: '/other' }).end();
});
server.on('connection', (socket) => socket.on('error', () => {}));
let port = 0;
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const post = (url: string, allowPrivate = true, timeoutMs = 5_000) =>
  postJson({ url, body: '{"a":1}', headers: { 'x-test': 'yes' }, timeoutMs, allowPrivate });

test('a body is sent once; a redirect is an answer, and an endless answer is not read', async () => {
  seen = [];
  expect(await post(`http://127.0.0.1:${port}/hook`)).toBe(204);
  expect(await post(`http://localhost:${port}/moved`)).toBe(302);
  expect(await post(`http://127.0.0.1:${port}/endless`)).toBe(200);
  expect(seen.map(({ path }) => path)).toEqual(['/hook', '/moved', '/endless']);
  expect(seen[0]).toEqual({ path: '/hook', body: '{"a":1}', header: 'yes' });
  await expect(post(`http://127.0.0.1:${port}/never`, true, 200)).rejects.toThrow();
  await expect(post(`http://127.0.0.1:${port}/cut`)).rejects.toThrow();
  expect(await post(`http://127.0.0.1:${port}/switch`)).toBe(101);
});

test.each([
  '127.0.0.1',
  'localhost',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '10.1.2.3',
  '169.254.169.254',
  '192.168.0.1',
  '[fd00::1]',
  '[2002:7f00:1::]',
  '[64:ff9b:1::7f00:1]',
  '[fec0::1]',
  '[::127.0.0.1]',
  '0.0.0.0',
  '2130706433',
  '0x7f.1',
])('the address %s is refused unless it is allowed', async (host) => {
  seen = [];
  await expect(post(`http://${host}:${port}/hook`, false)).rejects.toThrow(/private network/);
  expect(seen).toEqual([]);
});
