import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname } from 'node:path';

export interface GitHttpServer {
  url: string;
  /** Numbers of requests without the token, and with it. */
  refused: () => number;
  allowed: () => number;
  /** Makes the next pushes fail with 503. */
  failPushes: (times: number) => void;
  stop: () => Promise<void>;
}

/** Serves a bare repository with git's own smart HTTP backend to clients that send the token as the password. */
export async function serveGitOverHttp(repository: string, token: string): Promise<GitHttpServer> {
  let [refused, allowed, failing] = [0, 0, 0];
  const server = createServer((request, response) => {
    const [, password] = Buffer.from(request.headers.authorization?.slice('Basic '.length) ?? '', 'base64')
      .toString()
      .split(':');
    if (password !== token) {
      refused += 1;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return;
    }
    allowed += 1;
    if (failing > 0 && request.url!.includes('git-receive-pack') && request.method === 'POST') {
      failing -= 1;
      response.writeHead(503).end();
      return;
    }
    answer(request, response, repository);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/${basename(repository)}`,
    refused: () => refused,
    allowed: () => allowed,
    failPushes: (times) => {
      failing = times;
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** CGI: the request in variables and on standard input, headers and body on standard output. */
function answer(request: IncomingMessage, response: ServerResponse, repository: string): void {
  const url = new URL(request.url!, 'http://localhost');
  const cgi = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: dirname(repository),
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      REMOTE_USER: 'token',
      REMOTE_ADDR: '127.0.0.1',
      GIT_CONFIG_COUNT: '2',
      GIT_CONFIG_KEY_0: 'http.receivepack',
      GIT_CONFIG_VALUE_0: 'true',
      GIT_CONFIG_KEY_1: 'safe.directory',
      GIT_CONFIG_VALUE_1: '*',
    },
  });
  request.pipe(cgi.stdin);
  let head: Buffer | undefined = Buffer.alloc(0);
  cgi.stdout.on('data', (chunk: Buffer) => {
    if (head === undefined) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) return;
    const lines = head.toString('latin1', 0, end).split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => line.split(': ') as [string, string]));
    response.writeHead(Number(headers.Status?.slice(0, 3) ?? 200), headers);
    response.write(head.subarray(end + 4));
    head = undefined;
  });
  cgi.once('close', () => response.end());
}
