/**
 * What runs. `start` resolves when it works; `stop` resolves only when it has ended, may be called twice, and before
 * start. Constructors do nothing.
 */
export interface Component {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts in order; if one fails, stops the started ones in reverse and throws the cause. */
export async function startAll(components: readonly Component[]): Promise<() => Promise<void>> {
  const started: Component[] = [];
  let stopping: Promise<void> | undefined;
  const stopAll = (): Promise<void> => {
    stopping ??= stopInReverse(started);
    return stopping;
  };
  for (const component of components) {
    try {
      started.push(component);
      await component.start();
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
  if (faults.length > 0) throw new AggregateError(faults, 'components that did not stop cleanly');
}
