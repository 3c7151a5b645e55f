import { Migration20261123000001_runs } from '../../migrations/Migration20261123000001_runs.ts';
import { Migration20261123000002_workstreams } from '../../migrations/Migration20261123000002_workstreams.ts';
import { Migration20261123000003_workers } from '../../migrations/Migration20261123000003_workers.ts';
import { Migration20261123000004_tasks } from '../../migrations/Migration20261123000004_tasks.ts';
import { Migration20261123000005_patches } from '../../migrations/Migration20261123000005_patches.ts';
import { Migration20261123000006_test_gates } from '../../migrations/Migration20261123000006_test_gates.ts';
import { Migration20261123000007_circuit_breakers } from '../../migrations/Migration20261123000007_circuit_breakers.ts';
import { Migration20261123000008_state_transitions } from '../../migrations/Migration20261123000008_state_transitions.ts';
import { Migration20261123000009_targets } from '../../migrations/Migration20261123000009_targets.ts';
import { Migration20261123000010_dependencies } from '../../migrations/Migration20261123000010_dependencies.ts';
import { Migration20261123000011_landing } from '../../migrations/Migration20261123000011_landing.ts';
import { Migration20261123000012_leases } from '../../migrations/Migration20261123000012_leases.ts';
import { Migration20261123000013_log_chunks } from '../../migrations/Migration20261123000013_log_chunks.ts';
import { Migration20261123000014_tokens } from '../../migrations/Migration20261123000014_tokens.ts';
import { Migration20261123000015_installation } from '../../migrations/Migration20261123000015_installation.ts';
import { Migration20261124000016_landing_engine } from '../../migrations/Migration20261124000016_landing_engine.ts';
import { Migration20261125000017_survival } from '../../migrations/Migration20261125000017_survival.ts';
import { Migration20261126000018_target_faults } from '../../migrations/Migration20261126000018_target_faults.ts';
import { Migration20261126000019_confinement } from '../../migrations/Migration20261126000019_confinement.ts';
import { Migration20261126000020_silent_workers } from '../../migrations/Migration20261126000020_silent_workers.ts';
import { Migration20261126000021_callers } from '../../migrations/Migration20261126000021_callers.ts';
import { Migration20261126000022_append_only } from '../../migrations/Migration20261126000022_append_only.ts';

/** Every migration, oldest first. A list, so that the published package needs no folder to search. */
export const MIGRATIONS = [
  { name: 'Migration20261123000001_runs', class: Migration20261123000001_runs },
  { name: 'Migration20261123000002_workstreams', class: Migration20261123000002_workstreams },
  { name: 'Migration20261123000003_workers', class: Migration20261123000003_workers },
  { name: 'Migration20261123000004_tasks', class: Migration20261123000004_tasks },
  { name: 'Migration20261123000005_patches', class: Migration20261123000005_patches },
  { name: 'Migration20261123000006_test_gates', class: Migration20261123000006_test_gates },
  { name: 'Migration20261123000007_circuit_breakers', class: Migration20261123000007_circuit_breakers },
  { name: 'Migration20261123000008_state_transitions', class: Migration20261123000008_state_transitions },
  { name: 'Migration20261123000009_targets', class: Migration20261123000009_targets },
  { name: 'Migration20261123000010_dependencies', class: Migration20261123000010_dependencies },
  { name: 'Migration20261123000011_landing', class: Migration20261123000011_landing },
  { name: 'Migration20261123000012_leases', class: Migration20261123000012_leases },
  { name: 'Migration20261123000013_log_chunks', class: Migration20261123000013_log_chunks },
  { name: 'Migration20261123000014_tokens', class: Migration20261123000014_tokens },
  { name: 'Migration20261123000015_installation', class: Migration20261123000015_installation },
  { name: 'Migration20261124000016_landing_engine', class: Migration20261124000016_landing_engine },
  { name: 'Migration20261125000017_survival', class: Migration20261125000017_survival },
  { name: 'Migration20261126000018_target_faults', class: Migration20261126000018_target_faults },
  { name: 'Migration20261126000019_confinement', class: Migration20261126000019_confinement },
  { name: 'Migration20261126000020_silent_workers', class: Migration20261126000020_silent_workers },
  { name: 'Migration20261126000021_callers', class: Migration20261126000021_callers },
  { name: 'Migration20261126000022_append_only', class: Migration20261126000022_append_only },
];
