/** The stages, in the order in which a change meets them. Each reads what the one before it wrote in the ledger. */
export const STAGES = [
  { stage: 'submit-run', role: 'api', reads: 'a run spec', writes: 'run INITIALIZING, its tasks PENDING' },
  {
    stage: 'start-runs',
    role: 'scheduler',
    reads: 'runs INITIALIZING',
    writes: 'run RUNNING, tasks QUEUED or BLOCKED',
  },
  { stage: 'dispatch', role: 'scheduler', reads: 'tasks QUEUED, gates PENDING', writes: 'dispatch marks, messages' },
  {
    stage: 'run-task',
    role: 'worker',
    reads: 'a message',
    writes: 'task VALIDATING with a patch STAGED or QUARANTINED, or its failure',
  },
  {
    stage: 'land-patches',
    role: 'scheduler',
    reads: 'patches STAGED',
    writes: 'gates PENDING, patches VERIFIED or BLOCKED',
  },
  { stage: 'run-gate', role: 'worker', reads: 'a message', writes: 'gate PASSED or FAILED, a verdict' },
  { stage: 'roll-up', role: 'scheduler', reads: 'tasks that ended', writes: 'workstreams and runs ended' },
  { stage: 'reconcile', role: 'scheduler', reads: 'expired leases, lost messages', writes: 'work back in the queue' },
  { stage: 'send-webhooks', role: 'scheduler', reads: 'state transitions', writes: 'deliveries' },
  { stage: 'prune', role: 'scheduler', reads: 'what retention no longer keeps', writes: 'nothing: it deletes' },
] as const satisfies readonly { stage: string; role: 'api' | 'scheduler' | 'worker'; reads: string; writes: string }[];
