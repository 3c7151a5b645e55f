import { isAbsolute, resolve } from 'node:path';
import { type ConfigFile, type ConfinementDefinition, holdsNoPassword } from '../contract/config-schema.ts';
import { SluiceError } from '../contract/errors.ts';
import { guess } from '../contract/parse.ts';
import type { GateRoom } from './gates-in-force.ts';

export interface KnownRepository {
  url: string;
  committer?: { name: string; email: string } | undefined;
  credentials?: ConfigFile['repositories'][string]['credentials'] | undefined;
  gate_network?: boolean;
  gate_env?: readonly string[];
}

const DEFAULT_COMMITTER = { name: 'Sluice', email: 'sluice@sluice.invalid' };
const TRANSPORT = /^(https?|ssh|git|file):\/\//;
const SCP_LIKE = /^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^:]/;

/** Resolves the names of configured repositories, and paths or URLs in a run spec where those are allowed. */
export class NamedRepositories {
  readonly #known: Readonly<Record<string, KnownRepository>>;
  readonly #allowAny: boolean;
  readonly #folder: string;
  readonly #sandbox: Pick<ConfinementDefinition, 'mode' | 'gate_network'>;

  constructor(options: {
    known: Readonly<Record<string, KnownRepository>>;
    allowAny: boolean;
    folder: string;
    sandbox: Pick<ConfinementDefinition, 'mode' | 'gate_network'>;
  }) {
    this.#known = options.known;
    this.#allowAny = options.allowAny;
    this.#folder = options.folder;
    this.#sandbox = options.sandbox;
  }

  /** Throws `repository.not_allowed`. */
  resolve(repository: string): { name: string; url: string } {
    const known = Object.hasOwn(this.#known, repository) ? this.#known[repository] : undefined;
    if (known !== undefined) return { name: repository, url: this.#address(known.url) };
    if (!this.#allowAny) {
      const names = Object.keys(this.#known);
      throw new SluiceError('repository.not_allowed', `no repository of that name${guess(repository, names)}`);
    }
    const url = this.#address(repository);
    // The URL is stored in the ledger and written to every log.
    if (!holdsNoPassword(url)) {
      throw new SluiceError(
        'repository.not_allowed',
        'the URL holds a password: name the repository in the configuration',
      );
    }
    return { name: url, url };
  }

  /** Returns the configured repositories by name. */
  all(): { name: string; url: string }[] {
    return Object.entries(this.#known).map(([name, { url }]) => ({ name, url: this.#address(url) }));
  }

  committer(repository: string): { name: string; email: string } {
    const known = Object.hasOwn(this.#known, repository) ? this.#known[repository] : undefined;
    return known?.committer ?? DEFAULT_COMMITTER;
  }

  credentialsAt(url: string): KnownRepository['credentials'] {
    return this.#at(url)?.credentials;
  }

  /** Returns the variables that gates and `prepare` steps of the repository at an address may ask for. */
  gateVariables(url: string): readonly string[] {
    return this.#at(url)?.gate_env ?? [];
  }

  /** Returns the addresses of repositories whose gates and `prepare` steps may ask for variables. */
  urlsWithGateVariables(): string[] {
    const known = Object.values(this.#known).filter(({ gate_env: names = [] }) => names.length > 0);
    return known.map(({ url }) => this.#address(url));
  }

  /** Returns the conditions under which gates of the repository at an address run. */
  gateRoom(url: string): Omit<GateRoom, 'values'> {
    const { mode, gate_network: everyGate } = this.#sandbox;
    const network = everyGate ? 'everyGate' : (this.#at(url)?.gate_network ?? false);
    return { repository: url, confinement: mode, network };
  }

  #at(url: string): KnownRepository | undefined {
    return Object.values(this.#known).find((known) => this.#address(known.url) === url);
  }

  /**
   * Returns a URL of a transport that git may use, or an absolute path. Refuses text that git would read as an option
   * or a command.
   */
  #address(text: string): string {
    if (!text.includes('\0') && (TRANSPORT.test(text) || SCP_LIKE.test(text))) return text;
    if (text.startsWith('-') || text.includes('::') || text.includes('\0')) {
      throw new SluiceError('repository.not_allowed', 'not a path and not a URL of http, https, ssh, git or file');
    }
    return isAbsolute(text) ? resolve(text) : resolve(this.#folder, text);
  }
}
