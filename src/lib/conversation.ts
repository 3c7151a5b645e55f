import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export interface ConversationSpec {
  argv: readonly string[];
  cwd: string;
  /** The whole environment of the child, which inherits nothing. */
  env: Readonly<Record<string, string>>;
  /** Timeout of one answer; the child is then killed. */
  timeoutMs: number;
}

/** The answer; or its total size in bytes, once that is known; or undefined when there is not enough to tell. */
export type Reading<T> = { value: T } | { neededBytes: number } | undefined;

interface Question<T> {
  text: string;
  read: (answer: Buffer) => Reading<T>;
  resolve: (value: T) => void;
  reject: (error: Error) => void;
}

/** A child caches what it has read, so it is replaced after this many questions to bound its memory. */
const MAX_QUESTIONS = 5_000;

/**
 * A long-running child that answers one question at a time, which saves a process for each answer. It is started by the
 * first question and again after it has ended. An idle child does not keep this process alive, and ends when its input
 * closes.
 */
export class Conversation {
  readonly #spec: ConversationSpec;
  readonly #waiting: Question<unknown>[] = [];
  #child: ChildProcessWithoutNullStreams | undefined;
  #asked = 0;
  #current: Question<unknown> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #heard: Buffer[] = [];
  #heardBytes = 0;
  #neededBytes = 0;

  constructor(spec: ConversationSpec) {
    this.#spec = spec;
  }

  /**
   * Rejects when the child cannot be started, ends, or does not answer in time. The next question starts another child.
   */
  ask<T>(text: string, read: Question<T>['read']): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ text, read, resolve, reject } as unknown as Question<unknown>);
      this.#next();
    });
  }

  /** Ends the child and rejects the questions that wait. A later question starts another child. */
  close(): void {
    const waiting = this.#waiting.splice(0);
    const error = new Error('the conversation was closed');
    this.#fail(error);
    for (const { reject } of waiting) reject(error);
  }

  #next(): void {
    if (this.#current !== undefined) return;
    const question = this.#waiting.shift();
    if (question === undefined) {
      this.#holdProcess(false);
      return;
    }
    if (this.#asked >= MAX_QUESTIONS) this.#end();
    this.#current = question;
    this.#asked += 1;
    this.#heard = [];
    this.#timer = setTimeout(
      () => this.#fail(new Error('the process did not answer within its timeout')),
      this.#spec.timeoutMs,
    );
    const child = this.#started();
    this.#holdProcess(true);
    child.stdin.write(question.text);
  }

  #started(): ChildProcessWithoutNullStreams {
    if (this.#child !== undefined) return this.#child;
    const { argv, cwd, env } = this.#spec;
    // The child gets its own process group, so that an interrupt at the terminal reaches only the daemon.
    const child = spawn(argv[0]!, argv.slice(1), { cwd, env, detached: true });
    this.#child = child;
    this.#asked = 0;
    let words = '';
    const gone = (error: Error): void => {
      if (this.#child === child) this.#fail(error);
    };
    child.on('error', gone);
    child.on('exit', () => gone(new Error(words.trim() || 'the process ended without an answer')));
    child.stdin.on('error', () => {});
    child.stderr.on('data', (chunk: Buffer) => {
      words = (words + chunk.toString('utf8')).slice(-2_000);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      if (this.#child === child) this.#hear(chunk);
    });
    return child;
  }

  #hear(chunk: Buffer): void {
    const question = this.#current;
    if (question === undefined) return;
    this.#heard.push(chunk);
    this.#heardBytes += chunk.length;
    if (this.#heardBytes < this.#neededBytes) return;
    const all = this.#heard.length === 1 ? chunk : Buffer.concat(this.#heard);
    this.#heard = [all];
    const answer = question.read(all);
    if (answer === undefined || 'neededBytes' in answer) {
      this.#neededBytes = answer?.neededBytes ?? 0;
      return;
    }
    this.#settle();
    question.resolve(answer.value);
    this.#next();
  }

  #fail(error: Error): void {
    const question = this.#current;
    this.#settle();
    this.#end();
    question?.reject(error);
    this.#next();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#current = undefined;
    this.#heard = [];
    this.#heardBytes = 0;
    this.#neededBytes = 0;
  }

  #end(): void {
    const child = this.#child;
    this.#child = undefined;
    child?.stdin.destroy();
    child?.kill('SIGKILL');
  }

  /** Only a question in flight may keep this process alive. */
  #holdProcess(hold: boolean): void {
    const child = this.#child;
    if (child === undefined) return;
    for (const part of [child, child.stdin, child.stdout, child.stderr] as unknown as {
      ref(): void;
      unref(): void;
    }[]) {
      if (hold) part.ref();
      else part.unref();
    }
  }
}
