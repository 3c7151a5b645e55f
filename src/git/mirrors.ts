import { Mirror, type MirrorOptions } from './mirror.ts';
import type { RemoteAccess } from './remote-access.ts';
import type { Git } from './run-git.ts';

export interface MirrorsOptions {
  git: Git;
  root: string;
  accessTo?: (url: string) => RemoteAccess;
}

/** The mirrors that one process has used, one for each URL. */
export class Mirrors {
  readonly #options: MirrorsOptions;
  readonly #byUrl = new Map<string, Mirror>();

  constructor(options: MirrorsOptions) {
    this.#options = options;
  }

  of(url: string): Mirror {
    let mirror = this.#byUrl.get(url);
    if (mirror === undefined) {
      const { git, root, accessTo } = this.#options;
      const access = accessTo?.(url);
      mirror = new Mirror({ git, root, url, ...(access === undefined ? {} : { access }) } satisfies MirrorOptions);
      this.#byUrl.set(url, mirror);
    }
    return mirror;
  }

  all(): Mirror[] {
    return [...this.#byUrl.values()];
  }

  close(): void {
    for (const mirror of this.#byUrl.values()) mirror.close();
  }
}
