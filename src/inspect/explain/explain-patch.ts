import { explained } from '../../contract/reasons.ts';
import { LOST_FOR_CERTAINTY } from '../../domain/landing/candidate-status.ts';
import type { PlaceInLine } from '../../domain/landing/view.ts';
import { awaitsApproval, mayBeApproved } from '../../domain/path-rules.ts';
import { count, type Explanation, stands, wait } from '../../domain/wait.ts';
import type { PatchRow } from '../../entities/patch.ts';
import type { TestGateRow } from '../../entities/test-gate.ts';
import type { Explained, ExplainScene } from './explain-context.ts';
import { silentWorker } from './explain-fleet.ts';
import { whyTargetHolds } from './explain-target.ts';

const EACH_ROUND = 'in each round of the coordinator, about once a second';

export async function explainPatch(deps: ExplainScene, id: string): Promise<Explained> {
  const patch = await deps.daos.patches.getFacts(id);
  return { id, kind: 'patch', state: patch.state, ...(await whyPatch(deps, patch)) };
}

async function whyPatch(deps: ExplainScene, patch: PatchRow): Promise<Explanation> {
  const facts = { task_id: patch.task_id, target_id: patch.target_id, reason: patch.reason, evidence: patch.evidence };
  switch (patch.state) {
    case 'PENDING':
    case 'VALIDATING':
      return wait('not_built', 'its task has not built its commit yet', {
        facts,
        when: `when ${patch.task_id} has run`,
      });
    case 'STAGED':
      return whyStaged(deps, patch);
    case 'APPLIED':
      return wait('to_verify', 'it was pushed, and the remote is being read to verify it', { facts, when: EACH_ROUND });
    case 'BLOCKED':
      return stands(
        'patch_blocked',
        `stopped: ${explained(patch.reason)}`,
        facts,
        'when its task tries again, or an operator requeues or drops it',
      );
    case 'QUARANTINED':
      return awaitsApproval(patch) ? whyApproval(patch, facts) : whyQuarantined(patch, facts);
    case 'VERIFIED':
      return stands('verified', `on the branch as ${patch.landed_commit}`, facts);
    case 'ROLLED_BACK':
    case 'SUPERSEDED':
    case 'EXPIRED':
      return stands(patch.state.toLowerCase(), `ended ${patch.state}: ${explained(patch.reason)}`, facts);
    default:
      return patch.state satisfies never;
  }
}

function whyApproval(patch: PatchRow, facts: Explanation['facts']): Explanation {
  const again_at = patch.expires_at?.toISOString() ?? null;
  return wait('approval', `an operator must approve it: ${explained(patch.reason)}`, {
    facts: { ...facts, expires_at: again_at },
    again_at,
    when: `when an operator approves or drops it${again_at === null ? '' : ', or it expires'}`,
  });
}

function whyQuarantined(patch: PatchRow, facts: Explanation['facts']): Explanation {
  const hand = mayBeApproved(patch)
    ? 'when an operator approves or drops it, or its task tries again'
    : 'when its task tries again, or an operator drops it';
  return stands('patch_quarantined', `kept from landing: ${explained(patch.reason)}`, facts, hand);
}

async function whyStaged(deps: ExplainScene, patch: PatchRow): Promise<Explanation> {
  const { daos } = deps;
  const target = await daos.targets.get(patch.target_id!);
  const held = whyTargetHolds(target);
  if (held !== undefined) return held;
  const place = target.landing?.line.find(({ patch_id }) => patch_id === patch.patch_id);
  const facts = {
    target_id: target.target_id,
    place: place?.place ?? 'new',
    behind: place?.behind ?? [],
    tree_id: place?.tree_id ?? null,
  };
  if (patch.intent_id) return wait('landing', 'it is being pushed', { facts, when: EACH_ROUND });
  const live = (await daos.gates.findLive(target.target_id)).filter(
    ({ tree_id }) => tree_id !== null && tree_id === place?.tree_id,
  );
  if (live.length > 0) return whyUnderTest(deps, live, facts);
  return whyInLine(place, facts);
}

async function whyUnderTest(
  deps: ExplainScene,
  live: readonly TestGateRow[],
  facts: Explanation['facts'],
): Promise<Explanation> {
  const gates = live.map(({ gate_id, test_suite, state }) => ({ gate_id, gate: test_suite, state }));
  const first = live.find(({ state }) => state !== 'RUNNING');
  if (first !== undefined) {
    const why = await whyGate(deps, first);
    return { ...why, facts: { ...facts, gates, ...why.facts } };
  }
  const names = live.map(({ test_suite }) => test_suite).join(', ');
  return wait('gate_running', `${names} ${live.length === 1 ? 'runs' : 'run'} on its candidate`, {
    facts: { ...facts, gates },
    when: 'when the gates have ended',
  });
}

function whyInLine(place: PlaceInLine | undefined, facts: Explanation['facts']): Explanation {
  const before = place?.behind.length ?? 0;
  switch (place?.place) {
    case 'proven':
      return wait(
        'proven',
        before === 0
          ? 'it is proven and lands next'
          : `it is proven and lands after ${count(before, 'patch', 'patches')}`,
        { facts, when: EACH_ROUND },
      );
    case 'behind':
      return wait(
        'behind',
        `it cannot be applied on top of ${place.behind.join(', ')}, before it in the landing queue`,
        {
          facts,
          when: 'when those have landed or are stopped',
        },
      );
    case 'behind_policy':
      return wait('behind_policy', `${place.behind.join(', ')} changes the policy and must land first`, {
        facts,
        when: 'when that patch has landed or is stopped; then the new policy judges this one',
      });
    case 'push_refused':
      return wait(
        'push_refused',
        'the remote refused its push; other patches are pushed first, to see whether the remote takes any',
        {
          facts,
          when: 'when another patch has landed, which blocks this one, or is refused as well, which pauses the target',
        },
      );
    case 'doubted':
      if (place.lost !== undefined) return whyLost(place.lost, facts);
      return wait(
        'doubted',
        'a gate failed on its candidate; it is tested alone on the tip to find out whether it is the cause',
        {
          facts,
          when: EACH_ROUND,
        },
      );
    case 'not_to_land':
      return wait('proof_only', 'its run lands nothing (`land: false`); only its gates run', {
        facts,
        when: EACH_ROUND,
      });
    case 'testing':
      return wait('gate_requested', 'its gates are about to be started', { facts, when: EACH_ROUND });
    case 'queued':
      return wait(
        'landing_queue',
        `${count(before, 'patch', 'patches')} before it in the landing queue; candidates are tested as slots become free`,
        { facts, when: EACH_ROUND },
      );
    default:
      return wait('landing_queue', 'the coordinator has not seen it yet', { facts, when: EACH_ROUND });
  }
}

function whyLost({ gate, gate_id, times }: NonNullable<PlaceInLine['lost']>, facts: Explanation['facts']): Explanation {
  const sentence = `the gate ${gate} was lost ${count(times, 'time')} with it (its worker died or its machine failed); it is tested alone, so that others can land`;
  return wait('gate_lost', sentence, {
    facts: { ...facts, gate, gate_id, times },
    when: `when the gate ends, or after ${LOST_FOR_CERTAINTY} lost runs while others pass, which block it`,
  });
}

export async function explainGate(deps: ExplainScene, id: string): Promise<Explained> {
  const gate = await deps.daos.gates.get(id);
  return { id, kind: 'gate', state: gate.state, ...(await whyGate(deps, gate)) };
}

async function whyGate({ capacity, daos }: ExplainScene, gate: TestGateRow): Promise<Explanation> {
  const facts = {
    gate_id: gate.gate_id,
    gate: gate.test_suite,
    pool: gate.pool,
    patch_ids: gate.patch_ids,
    outcome: gate.outcome,
  };
  switch (gate.state) {
    case 'PENDING': {
      const pool = (await capacity('gate')).find((offered) => offered.pool === gate.pool);
      if (pool === undefined || pool.slots === 0) {
        return wait('no_gate_worker', `no living worker offers slots for gates in the pool ${gate.pool}`, {
          facts,
          when: 'when a worker of the pool registers',
        });
      }
      const sentence = gate.dispatched_at
        ? `the gate ${gate.test_suite} was dispatched and no worker has claimed it yet`
        : `all ${count(pool.slots, 'slot')} for gates are taken`;
      return wait(gate.dispatched_at ? 'gate_dispatched' : 'gate_slots', sentence, {
        facts: { ...facts, slots: pool.slots },
        when: 'when a slot for gates is free',
      });
    }
    case 'BLOCKED':
      return wait('gate_blocked', `the gate ${gate.test_suite} depends on another one`, {
        facts,
        when: 'when that one has ended',
      });
    case 'RUNNING': {
      const worker = gate.worker_id ? await daos.workers.find(gate.worker_id) : undefined;
      const silent = silentWorker(worker, gate.lease_expires_at ?? null);
      return (
        silent ??
        stands(
          'gate_running',
          `the gate ${gate.test_suite} runs on ${worker?.hostname ?? 'a worker'}`,
          facts,
          'when it ends, or after its timeout',
        )
      );
    }
    case 'PASSED':
      return stands('gate_passed', `the gate ${gate.test_suite} passed`, facts);
    case 'FAILED':
      return stands('gate_failed', `the gate ${gate.test_suite} failed: ${gate.outcome}`, {
        ...facts,
        results: gate.test_results,
      });
    default:
      return gate.state satisfies never;
  }
}
