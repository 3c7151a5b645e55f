import type { EntitySource } from './base-dao.ts';
import { CircuitBreakerDao } from './circuit-breaker-dao.ts';
import { TaskDependencyDao, WorkstreamDependencyDao } from './dependency-dao.ts';
import { GateVerdictDao } from './gate-verdict-dao.ts';
import { InstallationDao } from './installation-dao.ts';
import { LandingIntentDao } from './landing-intent-dao.ts';
import { LeaseDao } from './lease-dao.ts';
import { LogDao } from './log-dao.ts';
import { MetricsDao } from './metrics-dao.ts';
import { NameDao } from './name-dao.ts';
import { PatchDao } from './patch-dao.ts';
import { RepositoryDao } from './repository-dao.ts';
import { RunDao } from './run-dao.ts';
import { TargetDao } from './target-dao.ts';
import { TaskDao } from './task-dao.ts';
import { TestGateDao } from './test-gate-dao.ts';
import { TokenDao } from './token-dao.ts';
import { TransitionDao } from './transition-dao.ts';
import { WebhookDeliveryDao } from './webhook-delivery-dao.ts';
import { WorkerDao } from './worker-dao.ts';
import { WorkstreamDao } from './workstream-dao.ts';

export type Daos = ReturnType<typeof createDaos>;

export function createDaos(source: EntitySource) {
  return {
    runs: new RunDao(source),
    workstreams: new WorkstreamDao(source),
    tasks: new TaskDao(source),
    workers: new WorkerDao(source),
    patches: new PatchDao(source),
    gates: new TestGateDao(source),
    breakers: new CircuitBreakerDao(source),
    transitions: new TransitionDao(source),
    targets: new TargetDao(source),
    repositories: new RepositoryDao(source),
    taskDependencies: new TaskDependencyDao(source),
    workstreamDependencies: new WorkstreamDependencyDao(source),
    intents: new LandingIntentDao(source),
    verdicts: new GateVerdictDao(source),
    leases: new LeaseDao(source),
    logs: new LogDao(source),
    tokens: new TokenDao(source),
    installation: new InstallationDao(source),
    metrics: new MetricsDao(source),
    names: new NameDao(source),
    deliveries: new WebhookDeliveryDao(source),
  };
}
