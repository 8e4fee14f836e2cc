// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Installs and restores admission configuration. A dry run tests each change before it replaces what works.
import { ApiError, isAlreadyExists, isConflict, isInvalid, isNotFound } from '../../kube/http/api-error.ts';
import type { ObjectReference } from '../../kube/objects/events.ts';
import type { KubeObject, NewObject } from '../../kube/objects/objects.ts';
import { apiVersionOf } from '../../kube/objects/resource.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import type { TamperingReporter } from './tampering-reporter.ts';

/**
 * - `InPlace`: it was in place, or it was before, and somebody else's change of it was put back and reported
 * - `Written`: it is in place now, for the first time
 * - `Stale`: our copy is behind; look again in a moment
 */
export type KeepResult = 'InPlace' | 'Written' | 'Stale';

/** The API server does not take the object. */
export interface Refused {
  readonly refused: string;
}

/** An object that is to be in place, under its name. */
export type Wanted<T extends KubeObject> = NewObject<T> & { readonly metadata: { readonly name: string } };

/** How what is stored of a kind is compared with what is wanted, and made what is wanted. */
export interface Form<T extends KubeObject> {
  isInPlace(stored: T, wanted: Wanted<T>): boolean;
  broughtBack(stored: T, wanted: Wanted<T>): T;
}

export interface ObjectKeeperOptions<T extends KubeObject> {
  readonly client: Pick<ResourceClient<T>, 'resource' | 'create' | 'replace' | 'delete'>;
  readonly stored: Watched<T>;
  readonly form: Form<T>;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
}

export class ObjectKeeper<T extends KubeObject> {
  readonly #options: ObjectKeeperOptions<T>;
  /** What the API server has accepted from us, by name, as JSON. */
  readonly #accepted = new Map<string, string>();

  constructor(options: ObjectKeeperOptions<T>) {
    this.#options = options;
  }

  /** Puts it in place, or back in place. An event about tampering regards the object itself, unless said otherwise. */
  async keep(wanted: Wanted<T>, regarding?: ObjectReference): Promise<KeepResult> {
    const kept = await this.keepIfValid(wanted, regarding);
    if (typeof kept === 'string') return kept;
    throw new Error(`write ${this.#options.client.resource.kind} ${wanted.metadata.name}: ${kept.refused}`);
  }

  /** The same for an object that the API server may refuse: what is stored then stays. */
  async keepIfValid(wanted: Wanted<T>, regarding?: ObjectReference): Promise<KeepResult | Refused> {
    const { name } = wanted.metadata;
    const text = JSON.stringify(wanted);
    const stored = this.#options.stored.objects.get({ name });
    if (stored !== undefined && this.#options.form.isInPlace(stored, wanted)) {
      this.#accepted.set(name, text);
      return 'InPlace';
    }
    const wasInPlace = this.#accepted.get(name) === text;
    try {
      if (!wasInPlace) await this.#write(stored, wanted, { dryRun: true });
      await this.#write(stored, wanted, {});
    } catch (error) {
      if (isConflict(error) || isAlreadyExists(error) || isNotFound(error)) return 'Stale';
      if (isInvalid(error)) return { refused: sentenceOf(error) };
      throw error;
    }
    this.#accepted.set(name, text);
    if (!wasInPlace) return 'Written';
    this.#notice(name, stored === undefined ? 'deleted' : 'edited', regarding);
    return 'InPlace';
  }

  /** Resolves when no object of the name is stored any more. */
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

  #notice(name: string, what: 'deleted' | 'edited', regarding?: ObjectReference): void {
    const { resource } = this.#options.client;
    const { kind } = resource;
    const itself = { apiVersion: apiVersionOf(resource), kind, name };
    this.#options.tampering.notice({ kind, name, what, regarding: regarding ?? itself });
  }

  async #write(stored: T | undefined, wanted: Wanted<T>, options: { readonly dryRun?: boolean }): Promise<void> {
    const { client, form } = this.#options;
    if (stored === undefined) await client.create(wanted, options);
    else await client.replace(form.broughtBack(stored, wanted), options);
  }
}

/** What the API server said, on one line: conditions have no newlines. */
function sentenceOf(error: unknown): string {
  const text = error instanceof ApiError ? error.message.replace(/^.*?: \d{3} \w+: /s, '') : String(error);
  return text.replace(/\s*\n\s*/g, ' ').slice(0, 8192);
}
