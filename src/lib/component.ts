/**
 * A part with a life cycle. `start` resolves when the component works. `stop` resolves only when it has ended, and may
 * be called twice or before `start`. Constructors have no side effects. A `start` that waits for something outside, such
 * as a database, gives up with an error when its signal aborts.
 */
export interface Component {
  readonly name: string;
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the components in order. If one fails, or `signal` aborts meanwhile, stops those that have begun in reverse and
 * throws the error.
 */
export async function startAll(components: readonly Component[], signal?: AbortSignal): Promise<() => Promise<void>> {
  const started: Component[] = [];
  let stopping: Promise<void> | undefined;
  const stopAll = (): Promise<void> => {
    stopping ??= stopInReverse(started);
    return stopping;
  };
  for (const component of components) {
    try {
      signal?.throwIfAborted();
      started.push(component);
      await component.start(signal);
    } catch (cause) {
      await stopAll();
      throw cause;
    }
  }
  return stopAll;
}

async function stopInReverse(started: Component[]): Promise<void> {
  const faults: unknown[] = [];
  for (const component of started.toReversed()) {
    try {
      await component.stop();
    } catch (fault) {
      faults.push(fault);
    }
  }
  if (faults.length > 0) throw new AggregateError(faults, 'some components did not stop cleanly');
}
