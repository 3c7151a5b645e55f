import { webhookName } from '../contract/config-schema.ts';
import type { Deps } from '../deps.ts';
import { untilDatabaseAnswers, verdictKeyAgreed, wakeUpListener } from '../deps.ts';
import { isStage, type WokenStage } from '../domain/wake-up.ts';
import { mirrorKeeper } from '../git/mirror-keeper.ts';
import { declareTools } from '../ledger/attempts/breakers.ts';
import { stagesWithWork } from '../ledger/fleet/overlooked.ts';
import { declareRepositories } from '../ledger/landing/targets.ts';
import type { Component } from '../lib/component.ts';
import { newId } from '../lib/id.ts';
import { Ticker, type TickerOptions } from '../lib/ticker.ts';
import { Dispatch } from '../pipeline/dispatch.ts';
import { Prune } from '../pipeline/prune.ts';
import { Reconciler } from '../pipeline/reconcile.ts';
import { rollUpEndings } from '../pipeline/roll-up.ts';
import { SendWebhooks } from '../pipeline/send-webhooks.ts';
import { StartRuns } from '../pipeline/start-runs.ts';
import { LandingTargets } from './landing-targets.ts';

/** Interval of the look for stages with work, because a wake-up may be lost. */
const LOOK_MS = 1_000;
/** Interval at which a stage runs although nothing was found for it. */
const POLL_MS = 30_000;
const RECONCILE_MS = 1_000;
const PRUNE_MS = 10 * 60_000;
const WEBHOOKS_MS = 1_000;
/** Pauses between rounds in which changes gather: a round costs about the same whether one task has ended or a hundred. */
const DISPATCH_REST_MS = 10;
const ROLL_UP_REST_MS = 100;

/**
 * Starts runs, dispatches, lands, rolls up endings and repairs. Any number of schedulers may run: what only one may do
 * at a time is done under a lease.
 */
export function createSchedulerRole(deps: Deps): Component[] {
  const { ledger, daos, publisher, repositories, seal, log } = deps;
  const holder = newId('sched');
  const mirrors = deps.mirrorsOf('scheduler');
  const startRuns = new StartRuns({ ledger, runs: daos.runs, targets: daos.targets, mirrors, log });
  const dispatch = new Dispatch({ ledger, publisher, log });
  const reconciler = new Reconciler({ ledger, holder, log });
  const prune = new Prune({ ledger, log, retention: deps.settings.file.retention });

  const ticker = (name: string, everyMs: number, tick: TickerOptions['tick'], restMs = 0) =>
    new Ticker({ name, everyMs, restMs, log, tick });

  const tickers = {
    'start-runs': ticker('start-runs', POLL_MS, () => startRuns.round()),
    dispatch: ticker('dispatch', POLL_MS, () => dispatch.round(), DISPATCH_REST_MS),
    'roll-up': ticker('roll-up', POLL_MS, () => rollUpEndings(ledger), ROLL_UP_REST_MS),
    reconcile: ticker('reconcile', RECONCILE_MS, () => reconciler.round()),
    prune: ticker('prune', PRUNE_MS, (signal) => prune.round(signal)),
  };
  const { webhooks } = deps.settings.file;
  const { environment } = deps.settings;
  const sending = webhooks.map((webhook) => {
    const send = new SendWebhooks({ ledger, transitions: daos.transitions, webhook, environment, log });
    return ticker(`webhook-${webhookName(webhook)}`, WEBHOOKS_MS, (signal) => send.round(signal));
  });
  const { crashPoint, planLanding: plan } = deps;
  const landing = new LandingTargets({ ledger, daos, mirrors, repositories, seal, plan, crashPoint, log }, holder);
  const look = ticker('overlooked', LOOK_MS, async () => {
    for (const stage of await ledger.apart(stagesWithWork)) woken[stage].wake();
  });
  const woken: Record<WokenStage, { wake(): void }> = { ...tickers, landing };
  const listener = wakeUpListener(deps, (wakeUp) => {
    if (isStage(wakeUp)) woken[wakeUp].wake();
  });
  const release = { name: 'reconciler', start: async () => {}, stop: () => reconciler.release() };
  return [
    verdictKeyAgreed(deps),
    limitsDeclared(deps),
    release,
    mirrorKeeper(mirrors, log),
    ...Object.values(tickers),
    ...sending,
    look,
    landing,
    listener,
  ];
}

/**
 * Writes the limits of this configuration to the ledger, so that every admission uses the same ones: those of the
 * scheduler that started last. The configuration of a worker or an API process never changes them.
 */
function limitsDeclared({ ledger, tools, settings, log }: Deps): Component {
  const repositories = Object.entries(settings.file.repositories).map(([repository, { concurrency }]) => ({
    repository,
    concurrency: concurrency ?? null,
  }));
  return {
    name: 'limits',
    start: (signal) => {
      const declare = () =>
        ledger.write(async (tx) => {
          await declareTools(tx, tools.declared());
          await declareRepositories(tx, repositories);
        });
      return untilDatabaseAnswers(log, declare, signal);
    },
    stop: async () => {},
  };
}
