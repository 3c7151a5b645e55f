import { InvalidArgumentError } from 'commander';

export function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('not a whole number');
  return Number(text);
}

/** Parses a number of days, with or without the unit: `30` or `30d`. */
export function dayCount(text: string): number {
  const days = Number(/^(\d{1,5})d?$/.exec(text)?.[1] ?? 0);
  if (days === 0) throw new InvalidArgumentError('not a number of days');
  return days;
}

export function portNumber(text: string): number {
  const port = wholeNumber(text);
  if (port > 65_535) throw new InvalidArgumentError('a port must be 0 to 65535');
  return port;
}

/** Parses a positive amount. The daemon checks the upper limit. */
export function dollars(text: string): number {
  if (!/^\d{1,9}(\.\d{1,6})?$/.test(text) || Number(text) === 0)
    throw new InvalidArgumentError('not a positive amount in US dollars');
  return Number(text);
}
