import { type RawBuilder, type Reader, sql } from '../database/database.ts';

export const NAMED_KINDS = ['run', 'workstream', 'task', 'patch', 'gate', 'worker'] as const;
export type NamedKind = (typeof NAMED_KINDS)[number];

const PREFIXES: Readonly<Record<NamedKind, string>> = {
  run: 'run',
  workstream: 'ws',
  task: 'task',
  patch: 'patch',
  gate: 'gate',
  worker: 'wrk',
};
const KEYS: Readonly<Record<NamedKind, readonly [table: string, key: string]>> = {
  run: ['runs', 'run_id'],
  workstream: ['workstreams', 'workstream_id'],
  task: ['tasks', 'task_id'],
  patch: ['patches', 'patch_id'],
  gate: ['test_gates', 'gate_id'],
  worker: ['workers', 'worker_id'],
};
const FULL_LENGTH = 26;
/** Fewer characters of an id are only its time, which many objects share. */
const FEWEST = 6;
/** Ids that an ambiguous beginning is answered with. */
const SHOWN = 5;

/** Finds objects by the beginning of their id, and by names as in `nightly/lint/fix`: run, workstream, task. */
export class NameDao {
  readonly #source: Reader;

  constructor(source: Reader) {
    this.#source = source;
  }

  /** Returns the ids that a text may stand for: none, one, or the first few that begin so. */
  async find(kinds: readonly NamedKind[], text: string): Promise<string[]> {
    const [, prefix, rest = ''] = /^([a-z]+)_([0-9a-z]*)$/.exec(text) ?? [];
    const kind = kinds.find((each) => PREFIXES[each] === prefix);
    if (kind !== undefined && rest.length >= FEWEST && rest.length <= FULL_LENGTH) {
      const ids = await this.#beginningWith(kind, text);
      if (ids.length > 0) return ids;
    }
    const parts = text.split('/');
    const readings: Partial<Record<NamedKind, () => Promise<string[]>>> = {
      task: () => this.#task(parts),
      patch: async () => this.#newestPatch(await this.#task(parts)),
      workstream: () => this.#workstream(parts),
      run: () => this.#run(text),
    };
    // The name of a run may hold a slash, so that a name has several readings.
    for (const [reading, read] of Object.entries(readings)) {
      const ids = kinds.includes(reading as NamedKind) ? await read() : [];
      if (ids.length > 0) return ids;
    }
    return [];
  }

  /**
   * The primary key serves. Bounds of the full length hold in every collation; one of another length, or with another
   * character at its end, does not.
   */
  #beginningWith(kind: NamedKind, text: string): Promise<string[]> {
    const [table, key] = KEYS[kind];
    const length = PREFIXES[kind].length + 1 + FULL_LENGTH;
    const [first, last] = [text.padEnd(length, '0'), text.padEnd(length, 'z')];
    return this.#ids(sql`
      select ${sql.ref(key)} as id from ${sql.table(table)}
      where ${sql.ref(key)} between ${first} and ${last} order by 1 limit ${SHOWN}`);
  }

  /** Returns the newest run of a name (index `runs_name`). */
  #run(name: string): Promise<string[]> {
    return this.#ids(sql`select run_id as id from runs where name = ${name} order by run_id desc limit 1`);
  }

  async #workstream(parts: readonly string[]): Promise<string[]> {
    if (parts.length < 2) return [];
    const [run] = await this.#run(parts.slice(0, -1).join('/'));
    if (run === undefined) return [];
    return this.#ids(sql`
      select workstream_id as id from workstreams where run_id = ${run} and name = ${parts.at(-1)!}`);
  }

  /** Names of workstreams and tasks hold no slash; that of a run may. */
  async #task(parts: readonly string[]): Promise<string[]> {
    const [workstream] = await this.#workstream(parts.slice(0, -1));
    if (workstream === undefined) return [];
    return this.#ids(sql`
      select task_id as id from tasks where workstream_id = ${workstream} and name = ${parts.at(-1)!}`);
  }

  async #newestPatch([task]: readonly string[]): Promise<string[]> {
    if (task === undefined) return [];
    return this.#ids(sql`select patch_id as id from patches where task_id = ${task} order by patch_id desc limit 1`);
  }

  async #ids(statement: RawBuilder<{ id: string }>): Promise<string[]> {
    return (await this.#source.query(statement)).map(({ id }) => id);
  }
}
