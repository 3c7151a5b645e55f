// Preloaded into a process (NODE_OPTIONS=--import): shifts its wall clock by SLUICE_CHAOS_SKEW_MS, but not its timers.
const skewMs = Number(process.env.SLUICE_CHAOS_SKEW_MS ?? '0');
const TrueDate = Date;
globalThis.Date = class extends TrueDate {
  constructor(...given) {
    if (given.length === 0) super(TrueDate.now() + skewMs);
    else super(...given);
  }

  static now() {
    return TrueDate.now() + skewMs;
  }
};
