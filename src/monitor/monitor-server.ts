import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CheckObject } from '../contract/answers.ts';
import { SluiceError } from '../contract/errors.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';

export interface MonitorOptions {
  host: string;
  port: number;
  /** Returns what must hold for the role to be ready; called for each request. */
  checks: () => Promise<Readonly<Record<string, CheckObject>>>;
  /** Metrics of the role's processes, in the text format of Prometheus. */
  metrics: () => Promise<string>;
  log: Log;
}

const TEXT_FORMAT = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * A small listener beside a role: `/healthz` (the process answers), `/readyz` (the role has started and works) and
 * `/metrics`. It has no tokens and shows nothing of the ledger. It starts before the role, so that a role which waits for
 * its database is alive and not ready.
 */
export class MonitorServer implements Component {
  readonly name = 'monitor';
  readonly #options: MonitorOptions;
  #server: Server | undefined;
  #hasStarted = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Port of 127.0.0.1 or of the host that it listens on; known after `start`. */
  get port(): number {
    return (this.#server?.address() as AddressInfo | null)?.port ?? 0;
  }

  /** Called when every component of the role works. */
  roleHasStarted(): void {
    this.#hasStarted = true;
  }

  async start(): Promise<void> {
    const { host, port, log } = this.#options;
    const server = createServer((request, response) => void this.#answer(request, response));
    try {
      server.listen(port, host);
      await once(server, 'listening');
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE')
        throw new SluiceError('config.invalid', `the monitor cannot listen: ${message}`, { cause });
      throw new SluiceError('port.in_use', `port ${port} on ${host} is in use: set SLUICE_MONITOR_PORT`, { cause });
    }
    this.#server = server;
    log.info({ host, port: this.port }, 'monitor.listening');
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  }

  async #answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = url?.split('?')[0];
    try {
      if (method !== 'GET' && method !== 'HEAD') send(response, 405, { status: 'method_not_allowed' });
      else if (path === '/healthz') send(response, 200, { status: 'ok' });
      else if (path === '/readyz') await this.#sendReadiness(response);
      else if (path === '/metrics') {
        const text = await this.#options.metrics();
        response.writeHead(200, { 'content-type': TEXT_FORMAT }).end(text);
      } else send(response, 404, { status: 'not_found' });
    } catch (error) {
      this.#options.log.error({ err: error, url }, 'monitor.failed');
      if (response.headersSent) response.destroy();
      else send(response, 500, { status: 'failed' });
    }
  }

  async #sendReadiness(response: ServerResponse): Promise<void> {
    const started: CheckObject = this.#hasStarted
      ? { ok: true }
      : { ok: false, code: 'role.starting', detail: 'the role has not started yet' };
    const checks = { started, ...(this.#hasStarted ? await this.#options.checks() : {}) };
    const isReady = Object.values(checks).every(({ ok }) => ok);
    send(response, isReady ? 200 : 503, { status: isReady ? 'ready' : 'not_ready', checks });
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body));
}
