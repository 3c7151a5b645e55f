import { Socket } from 'node:net';

/**
 * For pg's `stream`: a socket that ends when nothing comes or goes for so long. A network that drops everything without a
 * word leaves a connection that looks alive; a query that merely gives up on it hands it back to the pool, for the next one
 * to wait on. One that ends takes all that waits on it along, and is replaced.
 */
export function answeringSocket(silentMs: number): () => Socket {
  return () => {
    const socket = new Socket();
    socket.setTimeout(silentMs, () => socket.destroy(new Error(`Connection terminated: no answer in ${silentMs} ms`)));
    return socket;
  };
}
