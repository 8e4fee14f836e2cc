// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Applies the packs of a ConfigMap as policies, reverts direct edits, and removes disabled packs.
import type { StepUpPolicy } from '../../api/kinds.ts';
import { isConflict, isInvalid, isNotFound } from '../../kube/http/api-error.ts';
import type { EventRecorder } from '../../kube/objects/events.ts';
import type { ConfigMap, KubeObject } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { RepeatedTask } from '../../kube/watch/repeated-task.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { defined, isSameAsSent } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';
import { type Applied, type Pack, packChanges, packLabel, packText, readPacks } from './pack.ts';

export interface PackReconcilerOptions {
  readonly configMaps: Watched<ConfigMap>;
  readonly configMap: { readonly namespace: string; readonly name: string };
  readonly policies: Watched<StepUpPolicy>;
  readonly client: Pick<ResourceClient<StepUpPolicy>, 'get' | 'apply' | 'replace' | 'delete'>;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly tampering: Pick<TamperingReporter, 'notice'>;
  readonly log: Log;
  readonly clock: Clock;
}

const fieldManager = 'stepup-packs';
const againMs = 50;
const policyType = { apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpPolicy' };

export class PackReconciler {
  readonly #options: PackReconcilerOptions;
  readonly #task: RepeatedTask;
  readonly #applied = new Map<string, Applied>();

  constructor(options: PackReconcilerOptions) {
    this.#options = options;
    this.#task = new RepeatedTask({
      process: () => this.#process(),
      onError: (error) => options.log.warn(errorFields(error), 'applying the packs failed'),
      clock: options.clock,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { configMaps, policies } = this.#options;
    enqueueChanges(policies, signal, ({ metadata }) => {
      if (metadata.labels?.[packLabel] !== undefined || this.#applied.has(metadata.name)) this.#task.check();
    });
    await this.#task.run(signal, [configMaps]);
  }

  async #process(): Promise<void> {
    const { configMaps, configMap, policies, log } = this.#options;
    const stored = configMaps.objects.get(configMap);
    // Packs that are switched off are gone from the ConfigMap; when it is gone itself, nobody switched anything off.
    if (stored === undefined) return;
    const { packs, problems } = readPacks(stored.data ?? {});
    for (const { pack, message } of problems) this.#complain(stored, pack, message);
    const kept = new Set(problems.map(({ pack }) => pack));
    const { apply, remove } = packChanges(packs, policies.objects.values(), this.#applied, kept);
    for (const policy of remove) {
      await this.#remove(policy);
      log.info({ pack: policy.metadata.name }, 'pack removed');
    }
    for (const pack of apply) await this.#apply(stored, pack);
  }

  async #apply(from: ConfigMap, pack: Pack): Promise<void> {
    const { client, log } = this.#options;
    try {
      if (await this.#isSomebodyElses(pack)) {
        this.#complain(
          from,
          pack.name,
          'a policy with this name exists and is not from a pack; rename it, or disable the pack',
        );
        return;
      }
      const labels = { ...pack.labels, [packLabel]: pack.name };
      const metadata = { name: pack.name, labels, annotations: pack.annotations };
      const applied = await client.apply({ metadata, spec: pack.spec }, { fieldManager, force: true });
      const { metadata: result } = await this.#withoutAdditions(applied, pack);
      const before = this.#applied.get(pack.name);
      this.#applied.set(pack.name, { text: packText(pack), uid: result.uid, generation: result.generation });
      log.info(
        { pack: pack.name, generation: result.generation },
        before === undefined ? 'pack applied' : 'pack restored',
      );
      if (before?.text === packText(pack)) this.#noticePutBack(result, before);
    } catch (error) {
      if (isInvalid(error)) this.#complain(from, pack.name, error instanceof Error ? error.message : String(error));
      else if (isConflict(error) || isNotFound(error)) this.#task.checkAfter(againMs);
      else throw error;
    }
  }

  /** The chart says what it said before, so somebody else has changed the policy. */
  #noticePutBack({ name, uid }: StepUpPolicy['metadata'], before: Applied): void {
    const { apiVersion, kind } = policyType;
    const what = before.uid === uid ? 'edited' : 'deleted';
    this.#options.tampering.notice({ kind, name, what, regarding: { apiVersion, kind, name, uid } });
  }

  /** Applying leaves alone what others added; but an exception added to a policy is an edit like any other. */
  async #withoutAdditions(applied: StepUpPolicy, pack: Pack): Promise<StepUpPolicy> {
    const { client } = this.#options;
    const wanted = { ...applied, spec: pack.spec };
    const tried = await client.replace(wanted, { fieldManager, dryRun: true });
    // Both come from the API server, with its defaults in them.
    if (isSameAsSent(tried.spec, applied.spec)) return applied;
    return client.replace(wanted, { fieldManager });
  }

  async #isSomebodyElses({ name }: Pack): Promise<boolean> {
    const { policies, client } = this.#options;
    const cached = policies.objects.get({ name });
    if (cached === undefined || cached.metadata.labels?.[packLabel] !== undefined) return false;
    // Taking the label away does not make a pack's policy one's own; the cache may leave managedFields out.
    const { managedFields = [] } = (await client.get({ name })).metadata as KubeObject['metadata'];
    return !managedFields.some((entry) => (entry as { readonly manager?: string }).manager === fieldManager);
  }

  async #remove({ metadata }: StepUpPolicy): Promise<void> {
    this.#applied.delete(metadata.name);
    try {
      await this.#options.client.delete({ name: metadata.name }, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  #complain(configMap: ConfigMap, pack: string, message: string): void {
    const { name, namespace, uid } = configMap.metadata;
    this.#options.log.warn({ pack, reason: message }, 'a pack cannot be applied');
    this.#options.events.emit({
      regarding: { apiVersion: 'v1', kind: 'ConfigMap', ...defined({ namespace }), name, uid },
      type: 'Warning',
      action: 'Apply',
      reason: 'PackNotApplied',
      note: `pack ${pack}: ${message}`,
    });
  }
}
