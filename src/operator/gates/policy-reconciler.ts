// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the webhook configuration of each policy installed, and reports it in the policy's status.
import { policyOf, type StepUpPolicy } from '../../api/kinds.ts';
import { policyTamperedCondition } from '../../domain/integrity/policy-tampering.ts';
import { isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { ObjectReference } from '../../kube/objects/events.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { KeepResult, ObjectKeeper, Refused } from '../admission/object-keeper.ts';
import type { TamperingReporter } from '../admission/tampering-reporter.ts';
import {
  gatePrefix,
  isGateEntry,
  isManaged,
  kindUidLabel,
  type NewConfiguration,
  type WebhookConfiguration,
  withBundle,
} from '../admission/webhook-configuration.ts';
import { type CompileContext, compilePolicy } from './compile-policy.ts';
import { pinConfiguration, pinName, policyPinnedBy } from './eviction-pin-configuration.ts';
import type { PolicyKind } from './policy-kind.ts';
import { notReadyFor, type Readiness, readyWith, statusWith } from './policy-status.ts';

export interface PolicyReconcilerOptions {
  readonly policies: Watched<StepUpPolicy>;
  readonly client: Pick<ResourceClient<StepUpPolicy>, 'replaceStatus'>;
  readonly kind: Pick<PolicyKind, 'uidOf' | 'isThere' | 'forget'>;
  readonly configurations: Watched<WebhookConfiguration>;
  readonly keeper: ObjectKeeper<WebhookConfiguration>;
  /** What has governed evictions name their pod. */
  readonly pins: Watched<WebhookConfiguration>;
  readonly pinKeeper: ObjectKeeper<WebhookConfiguration>;
  /** Undefined until gates may be written: certificates, our own kinds' entry and this replica's webhook come first. */
  readonly context: () => Omit<CompileContext, 'policyExists' | 'entriesOn' | 'kindUid'> | undefined;
  readonly tampering: Pick<TamperingReporter, 'latest'>;
  readonly log: Log;
  readonly clock: Clock;
}

const staleMs = 20;
const waitMs = 100;

export class PolicyReconciler {
  readonly #options: PolicyReconcilerOptions;
  readonly #queue: WorkQueue;
  /** The newest configuration of each policy that the API server accepted: it stays while a newer one is refused. */
  readonly #lastGood = new Map<string, NewConfiguration>();

  constructor(options: PolicyReconcilerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: (name) => this.#process(name),
      clock: options.clock,
      onError: (policy, error) => options.log.warn({ policy, ...errorFields(error) }, 'reconciling a policy failed'),
    });
  }

  /** Keys that wait for a worker. */
  get queued(): number {
    return this.#queue.size;
  }

  /** Looks at every policy and gate again, because something all depend on has changed. */
  enqueueAll(): void {
    const { policies, configurations } = this.#options;
    for (const { metadata } of policies.objects.values()) this.#queue.add(metadata.name);
    for (const { metadata } of configurations.objects.values()) {
      if (metadata.name.startsWith(gatePrefix)) this.#queue.add(metadata.name.slice(gatePrefix.length));
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { policies, configurations, pins } = this.#options;
    enqueueChanges(policies, signal, ({ metadata }, change) => {
      this.#queue.add(metadata.name);
      if (change?.type === 'delete') this.#options.kind.forget(metadata.uid);
      const isOther = change?.type === 'delete' || (change !== undefined && change.previous === undefined);
      if (isOther) this.#enqueueThoseNaming(metadata.name);
    });
    enqueueChanges(configurations, signal, ({ metadata }) => {
      if (metadata.name.startsWith(gatePrefix)) this.#queue.add(metadata.name.slice(gatePrefix.length));
    });
    enqueueChanges(pins, signal, ({ metadata }) => {
      const policy = policyPinnedBy(metadata.name);
      if (policy !== undefined) this.#queue.add(policy);
    });
    await this.#queue.run(signal);
  }

  #enqueueThoseNaming(name: string): void {
    for (const { metadata, spec } of this.#options.policies.objects.values()) {
      if (spec.namespaceShapes === name) this.#queue.add(metadata.name);
    }
  }

  async #process(name: string): Promise<void> {
    const { policies, kind } = this.#options;
    const policy = policies.objects.get({ name });
    if (policy === undefined) {
      await this.#withoutPolicy(name);
      return;
    }
    const context = this.#options.context();
    if (context === undefined) {
      this.#queue.addAfter(name, waitMs);
      return;
    }
    const kindUid = await kind.uidOf(policy);
    if (kindUid === undefined) {
      this.#queue.addAfter(name, waitMs);
      return;
    }
    const policyExists = (other: string) => policies.objects.get({ name: other }) !== undefined;
    const entriesOn = (group: string, resource: string) => this.#entriesOn(group, resource, name);
    const { configuration, problems } = compilePolicy(policyOf(policy), {
      ...context,
      kindUid,
      policyExists,
      entriesOn,
    });
    const readiness =
      configuration === undefined
        ? notReadyFor(problems)
        : this.#readinessOf(
            await this.#keep(name, configuration, referenceTo(policy)),
            readyWith(configuration, problems),
          );
    if (readiness === undefined) {
      this.#queue.addAfter(name, staleMs);
      return;
    }
    if (readiness.status === 'False') await this.#keepLastGood(policy, kindUid, context.caBundle);
    await this.#report(policy, readiness);
  }

  /** Entries of other policies whose rules name the kind. */
  #entriesOn(group: string, resource: string, exceptPolicy: string): number {
    const others = [...this.#options.configurations.objects.values()].filter(
      (one) => isManaged(one) && one.metadata.name !== `${gatePrefix}${exceptPolicy}`,
    );
    return others
      .flatMap(({ webhooks = [] }) => webhooks.filter(isGateEntry))
      .filter(({ rules }) => rules.some((rule) => rule.apiGroups.includes(group) && rule.resources.includes(resource)))
      .length;
  }

  #readinessOf(kept: KeepResult | Refused, ready: Readiness): Readiness | undefined {
    if (kept === 'Stale') return undefined;
    return typeof kept === 'string' ? ready : { status: 'False', reason: 'InvalidByAPIServer', message: kept.refused };
  }

  async #keep(name: string, gate: NewConfiguration, regarding?: ObjectReference): Promise<KeepResult | Refused> {
    const kept = await this.#options.keeper.keepIfValid(gate, regarding);
    if (kept === 'Stale' || typeof kept !== 'string') return kept;
    this.#lastGood.set(name, gate);
    if (kept === 'Written') this.#options.log.info({ policy: name }, 'webhook configuration installed');
    // Only what is in force has a pin: one for a gate that is refused would be put back with the last good gate, for ever.
    return this.#pin(name, gate, regarding);
  }

  /** Keeps what has the evictions that this gate is asked about name their pod. */
  async #pin(name: string, gate: NewConfiguration, regarding: ObjectReference | undefined): Promise<KeepResult> {
    const wanted = pinConfiguration(name, gate);
    if (wanted !== undefined) return this.#options.pinKeeper.keep(wanted, regarding);
    await this.#unpin(name);
    return 'InPlace';
  }

  async #unpin(policy: string): Promise<void> {
    const stored = this.#options.pins.objects.get({ name: pinName(policy) });
    if (stored !== undefined && isManaged(stored)) await this.#options.pinKeeper.remove(stored.metadata.name);
  }

  /** A policy that cannot be compiled now keeps the gate it had: its requests are refused, not let through. */
  async #keepLastGood(policy: StepUpPolicy, kindUid: string, caBundle: string): Promise<void> {
    const { name } = policy.metadata;
    const lastGood = this.#lastGoodOf(name);
    if (lastGood === undefined) return;
    const { metadata } = lastGood;
    const ofItsKind = {
      ...lastGood,
      metadata: { ...metadata, labels: { ...metadata.labels, [kindUidLabel]: kindUid } },
    };
    await this.#keep(name, withBundle(ofItsKind, caBundle), referenceTo(policy));
  }

  #lastGoodOf(name: string): NewConfiguration | undefined {
    const stored = this.#options.configurations.objects.get({ name: `${gatePrefix}${name}` });
    return this.#lastGood.get(name) ?? (stored && isManaged(stored) ? adopted(stored) : undefined);
  }

  /** A gate goes with its policy, unless the policy went with its kind: then what it governs is refused. */
  async #withoutPolicy(name: string): Promise<void> {
    const known = this.#lastGood.get(name);
    const gate = known ?? this.#lastGoodOf(name);
    const kindUid = gate?.metadata.labels?.[kindUidLabel];
    if (gate === undefined || kindUid === undefined || (await this.#options.kind.isThere(kindUid))) {
      await this.#remove(name);
      return;
    }
    const context = this.#options.context();
    if (context === undefined) {
      this.#queue.addAfter(name, waitMs);
      return;
    }
    const kept = await this.#keep(name, withBundle(gate, context.caBundle));
    // One that an earlier leader is said to have written gets the bundle, and is not defended: anybody may have made it up.
    if (known === undefined) this.#lastGood.delete(name);
    if (kept === 'Stale') this.#queue.addAfter(name, staleMs);
  }

  async #remove(name: string): Promise<void> {
    this.#lastGood.delete(name);
    await this.#unpin(name);
    const stored = this.#options.configurations.objects.get({ name: `${gatePrefix}${name}` });
    if (stored === undefined || !isManaged(stored)) return;
    await this.#options.keeper.remove(stored.metadata.name);
    this.#options.log.info({ policy: name }, 'webhook configuration deleted with its policy');
  }

  async #report(policy: StepUpPolicy, readiness: Readiness): Promise<void> {
    const { client, clock, log, tampering } = this.#options;
    const now = clock.now();
    const status = statusWith(policy, readiness, policyTamperedCondition(policy, tampering.latest, now), now);
    if (status === undefined) return;
    const { name: policyName } = policy.metadata;
    try {
      await client.replaceStatus({ ...policy, status });
      log.info({ policy: policyName, ready: readiness.status, reason: readiness.reason }, 'policy reported');
    } catch (error) {
      if (isNotFound(error)) return;
      if (!isConflict(error)) throw error;
      this.#queue.addAfter(policyName, staleMs);
    }
  }
}

function referenceTo({ apiVersion, kind, metadata: { name, uid } }: StepUpPolicy): ObjectReference {
  return { apiVersion, kind, name, uid };
}

function adopted({ metadata, webhooks = [] }: WebhookConfiguration): NewConfiguration {
  const { name, labels = {} } = metadata;
  return { metadata: { name, labels }, webhooks };
}
