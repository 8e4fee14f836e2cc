// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Installs and restores admission configuration. A dry run tests each change before it replaces what works.
import { ApiError, isAlreadyExists, isConflict, isInvalid, isNotFound } from '../../kube/http/api-error.ts';
import type { KubeObject, NewObject } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Watched } from '../../kube/watch/watched.ts';

export type Put =
  | { readonly kind: 'InPlace' }
  | { readonly kind: 'Written' }
  /** It was in place before, and somebody else had changed or deleted it. */
  | { readonly kind: 'Restored'; readonly what: 'deleted' | 'edited' }
  | { readonly kind: 'Refused'; readonly message: string }
  /** Our copy is behind; look again in a moment. */
  | { readonly kind: 'Stale' };

/** An object that is to be in place, under its name. */
export type Wanted<T extends KubeObject> = NewObject<T> & { readonly metadata: { readonly name: string } };

/** How what is stored of a kind is compared with what is wanted, and made what is wanted. */
export interface Form<T extends KubeObject> {
  isInPlace(stored: T, wanted: Wanted<T>): boolean;
  broughtBack(stored: T, wanted: Wanted<T>): T;
}

export interface ConfigurationKeeperOptions<T extends KubeObject> {
  readonly client: Pick<ResourceClient<T>, 'create' | 'replace' | 'delete'>;
  readonly stored: Watched<T>;
  readonly form: Form<T>;
}

export class ConfigurationKeeper<T extends KubeObject> {
  readonly #options: ConfigurationKeeperOptions<T>;
  /** What the API server has accepted from us, by name, as JSON. */
  readonly #accepted = new Map<string, string>();

  constructor(options: ConfigurationKeeperOptions<T>) {
    this.#options = options;
  }

  async put(wanted: Wanted<T>): Promise<Put> {
    const { name } = wanted.metadata;
    const text = JSON.stringify(wanted);
    const stored = this.#options.stored.objects.get({ name });
    if (stored !== undefined && this.#options.form.isInPlace(stored, wanted)) {
      this.#accepted.set(name, text);
      return { kind: 'InPlace' };
    }
    const wasInPlace = this.#accepted.get(name) === text;
    try {
      if (!wasInPlace) await this.#write(stored, wanted, { dryRun: true });
      await this.#write(stored, wanted, {});
    } catch (error) {
      if (isConflict(error) || isAlreadyExists(error) || isNotFound(error)) return { kind: 'Stale' };
      if (isInvalid(error)) return { kind: 'Refused', message: sentenceOf(error) };
      throw error;
    }
    this.#accepted.set(name, text);
    if (!wasInPlace) return { kind: 'Written' };
    return { kind: 'Restored', what: stored === undefined ? 'deleted' : 'edited' };
  }

  /** Resolves when no configuration of the name is stored any more. */
  async remove(name: string): Promise<void> {
    this.#accepted.delete(name);
    const stored = this.#options.stored.objects.get({ name });
    if (stored === undefined) return;
    try {
      await this.#options.client.delete({ name }, { preconditions: { uid: stored.metadata.uid } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  async #write(stored: T | undefined, wanted: Wanted<T>, options: { readonly dryRun?: boolean }): Promise<void> {
    const { client, form } = this.#options;
    if (stored === undefined) {
      await client.create(wanted, options);
      return;
    }
    await client.replace(form.broughtBack(stored, wanted), options);
  }
}

/** What the API server said, on one line: conditions have no newlines. */
function sentenceOf(error: unknown): string {
  const text = error instanceof ApiError ? error.message.replace(/^.*?: \d{3} \w+: /s, '') : String(error);
  return text.replace(/\s*\n\s*/g, ' ').slice(0, 8192);
}
