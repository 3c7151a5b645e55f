import { lookup } from 'node:dns';
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP } from 'node:net';

export interface Post {
  url: string;
  body: string;
  headers: Readonly<Record<string, string>>;
  timeoutMs: number;
  /** False: addresses of this machine and of private networks are refused, whatever name leads to them. */
  allowPrivate: boolean;
  signal?: AbortSignal | undefined;
}

const PRIVATE = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const) {
  PRIVATE.addSubnet(net, prefix, 'ipv4');
}
for (const [net, prefix] of [
  ['::', 96],
  ['::ffff:0:0:0', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['2001::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fec0::', 10],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  PRIVATE.addSubnet(net, prefix, 'ipv6');
}

/**
 * Sends a body by POST and returns the status of the answer. Follows no redirect, and checks the very address that it
 * connects to. Throws when there is no answer in time, `signal` aborts, or the address is refused.
 */
export async function postJson({ url, body, headers, timeoutMs, allowPrivate, signal }: Post): Promise<number> {
  const { protocol, hostname } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (!allowPrivate && isIP(host) !== 0) assertPublic(host);
  const send = protocol === 'https:' ? requestHttps : requestHttp;
  const request = send(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    agent: false,
    ...(allowPrivate ? {} : { lookup: publicLookup as never }),
  });
  const answered = statusOf(request, AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]));
  request.end(body);
  return answered;
}

/**
 * Settles whatever the other side does: an answer of 101 ends a request without a response and without an error. The
 * content of an answer is not read, because it decides nothing and may be endless.
 */
function statusOf(request: ClientRequest, signal: AbortSignal): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    const take = ({ statusCode }: IncomingMessage): void => resolve(statusCode ?? 0);
    request.once('response', take).once('upgrade', take);
    // Not `once`: an error after the answer would end the process without a listener.
    request.on('error', reject);
    request.once('close', () => reject(new Error('the connection was closed without an answer')));
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  }).finally(() => request.destroy());
}

type Found = { address: string; family: number }[];

/** Resolves a name like the default look-up, and refuses it when any of its addresses is private. */
function publicLookup(
  name: string,
  options: { all?: boolean },
  done: (error: Error | null, found?: Found | string, family?: number) => void,
): void {
  lookup(name, { all: true }, (error, found) => {
    if (error !== null) return done(error);
    try {
      for (const { address } of found) assertPublic(address);
    } catch (refused) {
      return done(refused as Error);
    }
    return options.all ? done(null, found) : done(null, found[0]!.address, found[0]!.family);
  });
}

/** Throws for addresses of this machine and of private networks, also when they are written as IPv6. */
function assertPublic(address: string): void {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const plain = mapped ?? address;
  if (PRIVATE.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4')) {
    throw new Error(`${address} is an address of this machine or of a private network`);
  }
}
