import type { AddressInfo } from 'node:net';
import { SluiceError } from '../contract/errors.ts';
import { isLoopback } from '../contract/tokens.ts';
import type { Deps } from '../deps.ts';
import { mirrorKeeper } from '../git/mirror-keeper.ts';
import type { Mirrors } from '../git/mirrors.ts';
import type { Component } from '../lib/component.ts';
import { createQueueBoard } from '../queues/board.ts';
import type { Api } from './api-deps.ts';
import { BOARD_PATH, createApp } from './app.ts';
import { Auth } from './auth.ts';
import { EventFeed } from './event-feed.ts';
import { ensureLocalToken } from './local-token.ts';

/** The HTTP server. `url` and `localToken` are empty until it has started. */
export class ApiRole implements Component {
  readonly name = 'api';
  readonly #deps: Deps;
  readonly #version: string;
  readonly #feed: EventFeed;
  readonly #mirrors: Mirrors;
  readonly #keeper: Component;
  #api: Api | undefined;
  #url = '';
  #localToken = '';

  constructor(deps: Deps, version: string) {
    this.#deps = deps;
    this.#version = version;
    this.#feed = new EventFeed(deps.daos.transitions);
    this.#mirrors = deps.mirrorsOf('api');
    this.#keeper = mirrorKeeper(this.#mirrors, deps.log);
  }

  get url(): string {
    return this.#url;
  }

  /** Admin token of this machine, as stored in `local.token` in the data folder. */
  get localToken(): string {
    return this.#localToken;
  }

  async start(): Promise<void> {
    const { settings, log, daos } = this.#deps;
    if (!isLoopback(settings.host) && (await daos.tokens.count({ revoked_at: null })) === 0) {
      throw new SluiceError(
        'auth.unsafe_listen',
        `the API listens on ${settings.host} only when a token exists: run "sluice token create", or listen on 127.0.0.1`,
      );
    }
    this.#localToken = await ensureLocalToken(daos.tokens, settings.dataDir);
    this.#api = await this.#build();
    try {
      await this.#api.listen({ host: settings.host, port: settings.port });
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE')
        throw new SluiceError('config.invalid', `cannot listen on ${settings.host}: ${message}`, { cause });
      throw new SluiceError('port.in_use', `port ${settings.port} on ${settings.host} is in use: set SLUICE_PORT`, {
        cause,
      });
    }
    const { port } = this.#api.server.address() as AddressInfo;
    const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
    this.#url = `http://${host}:${port}`;
    await this.#keeper.start();
    log.info({ url: this.#url }, 'api.listening');
  }

  async stop(): Promise<void> {
    const api = this.#api;
    this.#api = undefined;
    await this.#keeper.stop();
    await this.#feed.stop();
    await api?.close();
    this.#mirrors.close();
  }

  #build(): Promise<Api> {
    const { database, daos, ledger, queueBackend, log, tools, repositories, settings, publisher, seal } = this.#deps;
    const submit = {
      ledger,
      runs: daos.runs,
      tools,
      repositories,
      allowCommands: settings.file.allow_commands,
    };
    return createApp(
      {
        database,
        daos,
        ledger,
        submit,
        repositories,
        mirrors: this.#mirrors,
        seal,
        queueBackend,
        feed: this.#feed,
        log,
      },
      {
        auth: new Auth(daos.tokens),
        board: createQueueBoard(publisher, BOARD_PATH),
        version: this.#version,
      },
    );
  }
}
