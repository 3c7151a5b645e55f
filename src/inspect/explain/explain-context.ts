import type { ExplanationObject } from '../../contract/answers.ts';
import type { Daos } from '../../dao/all.ts';
import type { Database } from '../../database/database.ts';
import type { AdmissionState } from '../../domain/admission.ts';
import type { Explanation } from '../../domain/wait.ts';
import { capacity, type PoolCapacity } from '../../ledger/attempts/admission.ts';
import { readAdmissionState } from '../../ledger/attempts/admission-state.ts';

export interface ExplainDeps {
  database: Database;
  daos: Daos;
}

/** Facts that many explanations share; each is read once for all of them. */
export interface ExplainScene extends ExplainDeps {
  admission: () => Promise<AdmissionState>;
  capacity: (kind: 'task' | 'gate') => Promise<PoolCapacity[]>;
}

export interface Explained extends Explanation {
  id: string;
  kind: ExplanationObject['kind'];
  state: string;
}

export function sceneOf(deps: ExplainDeps): ExplainScene {
  const { database } = deps;
  const read: { admission?: Promise<AdmissionState>; task?: Promise<PoolCapacity[]>; gate?: Promise<PoolCapacity[]> } =
    {};
  return {
    ...deps,
    admission: () => (read.admission ??= readAdmissionState(database)),
    capacity: (kind) => (read[kind] ??= capacity(database, kind)),
  };
}
