// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Restores the CustomResourceDefinitions of stepup's kinds to those of the release: their schemas and rules protect the
// objects.
import { definitions, kindsDigest } from '../../api/generated/definitions.ts';
import { isAlreadyExists, isConflict, isInvalid, isNotFound, unlessNotFound } from '../../kube/http/api-error.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ObjectKey } from '../../kube/objects/resource.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { defined, isSameAsSent } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';

export interface Definition extends KubeObject {
  readonly spec: object;
}

export interface DefinitionReconcilerOptions {
  /** One for each of our definitions, which are read by name only. */
  readonly watched: readonly Watched<KubeObject>[];
  readonly client: Pick<ResourceClient<Definition>, 'get' | 'create' | 'replace'>;
  readonly configMaps: Pick<ResourceClient<KubeObject>, 'get'>;
  /** Where the chart says which definitions it brings. */
  readonly configMap: ObjectKey;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
  readonly log: Log;
  readonly clock: Clock;
}

/** The names of our definitions. */
export const ownDefinitions: readonly string[] = definitions.map(({ name }) => name);
/** On the chart's ConfigMap: the digest of the definitions that the chart brings. */
export const kindsAnnotation = 'stepup.dev/kinds';

const kind = 'CustomResourceDefinition';
const apiVersion = 'apiextensions.k8s.io/v1';
const againMs = 20;
const fieldManager = 'stepup-definitions';

export class DefinitionReconciler {
  readonly #options: DefinitionReconcilerOptions;
  readonly #queue: WorkQueue;
  /** The metadata of each as it was last: labels and annotations are those of Helm, or of whoever installs. */
  readonly #lastSeen = new Map<string, KubeObject['metadata']>();
  /** What was reported and cannot be restored now, by UID, and by UID and generation. */
  readonly #reported = new Set<string>();

  constructor(options: DefinitionReconcilerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: (name) => this.#process(name),
      clock: options.clock,
      onError: (definition, error) =>
        options.log.warn({ definition, ...errorFields(error) }, 'keeping a definition failed'),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    for (const watched of this.#options.watched) {
      enqueueChanges(watched, signal, ({ metadata }) => {
        this.#lastSeen.set(metadata.name, metadata);
        this.#queue.add(metadata.name);
      });
    }
    await this.#queue.run(signal);
  }

  async #process(name: string): Promise<void> {
    const shipped = definitions.find((one) => one.name === name);
    if (shipped === undefined) return;
    const stored = await this.#stored(name);
    if (stored === undefined) {
      await this.#recreate(name, shipped.spec);
      return;
    }
    if (stored.metadata.deletionTimestamp !== undefined) {
      // Its objects go first; then it may be made again.
      this.#report(name, 'deleted', stored.metadata.uid);
      return;
    }
    // Read after the definition: an upgrade that has changed this one has written the ConfigMap before.
    if (!(await this.#isOfThisRelease())) return;
    await this.#mend(stored, shipped.spec);
  }

  async #mend(stored: Definition, spec: object): Promise<void> {
    const { client, tampering } = this.#options;
    const { name, uid, generation } = stored.metadata;
    const wanted = { ...stored, spec };
    try {
      // With the defaults of this API server in it.
      const tried = await client.replace(wanted, { dryRun: true });
      if (isSameAsSent(tried.spec, stored.spec)) {
        await this.#letGo(stored);
        return;
      }
      await client.replace(wanted, { fieldManager });
    } catch (error) {
      if (isInvalid(error)) {
        this.#options.log.warn({ definition: name, ...errorFields(error) }, 'a definition cannot be restored');
        this.#report(name, 'edited', uid, generation);
      } else if (isConflict(error) || isNotFound(error)) {
        this.#queue.addAfter(name, againMs);
      } else {
        throw error;
      }
      return;
    }
    tampering.notice({ kind, name, what: 'edited', regarding: { apiVersion, kind, name, uid } });
  }

  /**
   * Owns no field of what it has put back: who applies on the server (Helm 4, GitOps controllers) would otherwise meet a
   * conflict when a later release changes it.
   */
  async #letGo(stored: Definition): Promise<void> {
    const { managedFields = [] } = stored.metadata;
    const others = managedFields.filter((entry) => (entry as { readonly manager?: string }).manager !== fieldManager);
    // Without any owner the API server would take all fields for somebody's: the status has one in a moment.
    if (others.length === managedFields.length || others.length === 0) return;
    await this.#options.client.replace({ ...stored, metadata: { ...stored.metadata, managedFields: others } });
  }

  async #recreate(name: string, spec: object): Promise<void> {
    const last = this.#lastSeen.get(name);
    if (last === undefined) return;
    if (!(await this.#isOfThisRelease())) {
      this.#report(name, 'deleted', last.uid);
      return;
    }
    const { labels, annotations } = last;
    const metadata = {
      name,
      ...defined({ labels, annotations }),
    };
    try {
      const made = await this.#options.client.create({ metadata, spec }, { fieldManager });
      const { uid } = made.metadata;
      this.#options.tampering.notice({ kind, name, what: 'deleted', regarding: { apiVersion, kind, name, uid } });
    } catch (error) {
      // Somebody else was faster: their definition is checked when the watch reports it.
      if (!isAlreadyExists(error)) throw error;
    }
  }

  #report(name: string, what: string, uid: string, generation?: number): void {
    const key = `${uid} ${what} ${generation ?? ''}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.#options.tampering.notice({ kind, name, what, regarding: { apiVersion, kind, name, uid }, isPutBack: false });
  }

  async #stored(name: string): Promise<Definition | undefined> {
    return unlessNotFound(this.#options.client.get({ name }));
  }

  /** Never from a copy: while another release is being installed its definitions must be left alone. */
  async #isOfThisRelease(): Promise<boolean> {
    const { configMaps, configMap } = this.#options;
    const stored = await unlessNotFound(configMaps.get(configMap));
    return stored?.metadata.annotations?.[kindsAnnotation] === kindsDigest;
  }
}
