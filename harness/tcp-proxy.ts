import { connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  client: Socket;
  upstream: Socket;
}

/**
 * A loopback proxy between Sluice and a server. `cut` resets open connections and refuses new ones; `freeze` keeps them
 * open and forwards nothing, like a network that silently drops packets.
 */
export class TcpProxy {
  readonly #upstreamPort: number;
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #refusing = false;
  #freezesNew = false;

  private constructor(upstreamPort: number) {
    this.#upstreamPort = upstreamPort;
  }

  static async start(upstreamPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(upstreamPort);
    proxy.#server = createServer({ allowHalfOpen: false }, (client) => proxy.#accept(client));
    await new Promise<void>((resolve, reject) => {
      proxy.#server!.once('error', reject);
      proxy.#server!.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server!.address() as { port: number }).port;
  }

  /** Rewrites the address to go through the proxy. */
  through(url: string): string {
    const address = new URL(url);
    address.hostname = '127.0.0.1';
    address.port = String(this.port);
    return address.href;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Resets every connection and refuses new ones until `restore`. */
  cut(): void {
    this.#refusing = true;
    this.reset();
  }

  /** Resets every open connection, but accepts new ones. */
  reset(): void {
    for (const { client, upstream } of this.#pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  /** Stops forwarding on all open connections, and with `new` on later ones too. Neither side sees an error. */
  freeze(options: { new?: boolean } = {}): void {
    this.#freezesNew = options.new ?? false;
    for (const pair of this.#pairs) freezePair(pair);
  }

  restore(): void {
    this.#refusing = false;
    this.#freezesNew = false;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.reset();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }

  #accept(client: Socket): void {
    client.on('error', () => {});
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(this.#upstreamPort, '127.0.0.1');
    const pair = { client, upstream };
    this.#pairs.add(pair);
    upstream.on('error', () => client.resetAndDestroy());
    const ended = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    client.on('close', ended);
    upstream.on('close', ended);
    client.pipe(upstream);
    upstream.pipe(client);
    if (this.#freezesNew) freezePair(pair);
  }
}

function freezePair({ client, upstream }: Pair): void {
  client.unpipe(upstream);
  upstream.unpipe(client);
  client.pause();
  upstream.pause();
}
