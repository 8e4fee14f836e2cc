// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finds the approvals that cover an attempt and reserves one: decides on the cache, denies only on a live view, and
// reserves by a compare-and-swap on the very object that it decided on.
import type { StepUpApproval } from '../../api/kinds.ts';
import type { ObjectReader } from '../../api/sealed-reader.ts';
import type { Sealing } from '../../api/sealing.ts';
import { type Attempt, targetLabelValue } from '../../domain/change/attempt.ts';
import type { Question, View } from '../../domain/decision/candidate.ts';
import { type AutoApproval, decide, type NeedsApproval, type Outcome } from '../../domain/decision/decide.ts';
import { creationOf, transitionOf } from '../../domain/lifecycle/transition.ts';
import type { Approval } from '../../domain/model/approval.ts';
import type { Policy } from '../../domain/model/policy.ts';
import { withSealedReleases } from '../../domain/seals/seal.ts';
import { isConflict, isNotFound, isUncertain } from '../../kube/http/api-error.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { defined } from '../../lib/json.ts';
import type { Audit } from '../../observe/audit.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import type { Caches } from '../reads/dependencies.ts';
import type { LiveViews, TargetView } from '../reads/live-view.ts';
import type { AutoApprovals } from './auto-approvals.ts';
import type { Governed, Limit } from './governed.ts';
import type { GateOutcome } from './outcome.ts';
import type { SuspectedPolicies } from './suspected-policies.ts';
import type { UseMemory } from './use-memory.ts';

export interface ReserverDependencies {
  readonly caches: Caches;
  readonly approvals: Pick<ResourceClient<StepUpApproval>, 'replaceStatus'>;
  readonly liveViews: Pick<LiveViews, 'read'>;
  readonly memory: UseMemory;
  readonly sealing: Sealing;
  readonly suspected: SuspectedPolicies;
  readonly auto: Pick<AutoApprovals, 'open' | 'create'>;
  readonly ownNamespace: string;
  readonly clock: Clock;
  readonly metrics: Pick<WebhookMetrics, 'reservation'>;
  readonly audit: Audit;
}

type Reserved = Extract<Outcome, { reason: 'Reserved' }>;

const mostConflicts = 3;
/** The operator settles in milliseconds once it sees the target. */
const settleMs = 1_500;
/** Time kept for the answer after the last look at a reservation that is being settled. */
const settleReserveMs = 500;

export class Reserver {
  readonly #dependencies: ReserverDependencies;

  constructor(dependencies: ReserverDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Finds the approvals that cover the request and reserves one. Each turn of the loop decides on one view and ends in
   * an outcome, or looks at the target anew. Rejects when the limit is reached or the API server cannot be asked; then
   * nothing may be admitted.
   */
  async reserve(governed: Governed, limit: Limit): Promise<GateOutcome> {
    const { policy, attempt } = governed;
    const { clock, suspected } = this.#dependencies;
    let view = this.#cachedView(attempt);
    let settlesUntilMs: number | undefined;
    for (let conflicts = 0; ; view = await this.#liveView(attempt)) {
      limit.signal.throwIfAborted();
      const outcome = this.#decideOn(view, governed);
      if (outcome.outcome === 'Allowed' && outcome.reason === 'Reserved') {
        if (await this.#write(outcome, view, limit)) return allowed(governed, outcome);
        conflicts += 1;
        if (conflicts > mostConflicts) return contended(policy);
        continue;
      }
      // All else needs a live view. Re-admission writes nothing that could fail, so a cached view would go on admitting
      // after a Deny that it has not seen (ADR 0003: never from memory).
      if (!view.isLive) continue;
      if (outcome.outcome === 'Rejected') return { ...outcome, policy: policy.metadata.name };
      if (outcome.outcome === 'Allowed' && outcome.reason === 'Readmitted') return allowed(governed, outcome);
      if (outcome.outcome === 'Allowed') {
        const created = await this.#createAuto(outcome, this.#withOthers(governed, view), limit);
        if (created !== undefined) return autoApproved(governed, created);
        conflicts += 1;
        if (conflicts > mostConflicts) return contended(policy);
        continue;
      }
      settlesUntilMs ??= Math.min(clock.monotonicMs() + settleMs, limit.endsAtMs - settleReserveMs);
      if (outcome.isSettling && clock.monotonicMs() < settlesUntilMs) continue;
      if (outcome.mayGovern !== undefined) suspected.note(attempt.attemptKey, outcome.mayGovern);
      return deniedWith(this.#withOthers(governed, view), outcome, this.#homeOf(attempt));
    }
  }

  /** The answer to a request without any approval. Nothing is read, and nothing reserved. */
  foresee(governed: Governed): GateOutcome {
    const view = { approvals: [], decisions: [], isLive: true };
    const outcome = decide(this.#question(governed, view));
    if (outcome.outcome === 'Rejected') return { ...outcome, policy: governed.policy.metadata.name };
    if (outcome.outcome === 'NeedsApproval') return deniedWith(governed, outcome, this.#homeOf(governed.attempt));
    if (outcome.reason === 'AutoApproved')
      return { outcome: 'Allowed', reason: 'AutoApproved', policy: governed.policy };
    throw new Error('nothing covers a request where there is no approval');
  }

  #decideOn(view: TargetView, governed: Governed): Outcome {
    const { memory, sealing } = this.#dependencies;
    const { reader } = sealing;
    const approvals = view.approvals.map((one) => reader.approval(one));
    const decisions = view.decisions.map((one) => reader.decision(one));
    const isBehind = (approval: Approval) => memory.knowsMore(approval, view.beganAtMs);
    const originals = memory.originalsOf(approvals);
    const shown = view.isLive
      ? // An older state than the known one, though read live, was restored or forged and cannot be used. Nor can
        // copies of an approval that is gone: its use is remembered.
        [...approvals.map((approval) => (isBehind(approval) ? spent(approval) : approval)), ...originals.map(spent)]
      : // A cache that is behind is no base for a write that would be refused.
        approvals.some(isBehind) || originals.length > 0
        ? []
        : approvals;
    const watchedSince = view.isLive ? undefined : this.#watchedSince();
    return decide(
      this.#question(governed, {
        approvals: shown,
        decisions,
        isLive: view.isLive,
        ...defined({ watchedSince }),
      }),
    );
  }

  #withOthers(governed: Governed, { approvals }: TargetView): Governed {
    const { reader } = this.#dependencies.sealing;
    return { ...governed, others: approvals.map((one) => reader.approval(one)) };
  }

  /** Since when the cache, with what is remembered of approvals that it has let go, is complete. */
  #watchedSince(): Date | undefined {
    const { caches, memory, clock } = this.#dependencies;
    const listedAtMs = caches.approvalsUnbrokenSinceMs();
    if (listedAtMs === undefined) return undefined;
    const sinceMs = Math.max(listedAtMs, memory.remembersSinceMs);
    return new Date(clock.now().getTime() - (clock.monotonicMs() - sinceMs));
  }

  #question(governed: Governed, view: View): Question {
    const { caches, clock, ownNamespace, suspected } = this.#dependencies;
    const { attempt, request } = governed;
    const namespace = caches.namespaces.get({ name: request.namespace });
    return {
      ...governed,
      view,
      ownNamespace,
      ...(namespace === undefined ? {} : { namespaceLabels: namespace.metadata.labels ?? {} }),
      autoOpen: this.#dependencies.auto.open(governed.policies),
      refusedFor: suspected.refusedFor(attempt.attemptKey),
      now: clock.now(),
    };
  }

  #cachedView({ targetKey }: Attempt): TargetView {
    const { caches } = this.#dependencies;
    const approvals = caches.approvals.byIndex('target', targetLabelValue(targetKey));
    const decisions = approvals.flatMap(({ metadata }) => caches.decisions.byIndex('approval', metadata.uid));
    // Everything known by now counts against a cache.
    return { approvals, decisions, isLive: false, beganAtMs: Number.POSITIVE_INFINITY };
  }

  async #liveView(attempt: Attempt): Promise<TargetView> {
    const { liveViews, memory, sealing, clock, ownNamespace } = this.#dependencies;
    const namespaces = [...new Set([this.#homeOf(attempt), ownNamespace])];
    const view = await liveViews.read(targetLabelValue(attempt.targetKey), namespaces);
    const instant = { now: clock.now(), monotonicMs: clock.monotonicMs() };
    for (const approval of view.approvals) memory.note(sealing.reader.approval(approval), instant);
    return view;
  }

  /** Where approvals of the attempt's target live. */
  #homeOf({ action }: Attempt): string {
    return action.namespace || this.#dependencies.ownNamespace;
  }

  async #createAuto(decision: AutoApproval, governed: Governed, limit: Limit): Promise<Approval | undefined> {
    const { auto, memory, clock, audit } = this.#dependencies;
    const created = await auto.create(decision, governed, this.#homeOf(governed.attempt), limit);
    if (created === undefined) return undefined;
    memory.note(created, { now: clock.now(), monotonicMs: clock.monotonicMs() });
    audit(creationOf(created));
    return created;
  }

  /** True when the approval is reserved now, false when it was changed meanwhile. Rejects when the result is not known. */
  async #write(decision: Reserved, view: TargetView, limit: Limit): Promise<boolean> {
    const { approvals, metrics, memory, sealing, clock, audit } = this.#dependencies;
    const stored = storedOf(decision.approval, view, sealing.reader);
    const reserved = { ...stored, status: withSealedReleases(decision.approval, decision.status, sealing.seals) };
    const deadlineMs = Math.max(limit.endsAtMs - clock.monotonicMs(), 1);
    try {
      await approvals.replaceStatus(reserved, { deadlineMs, signal: limit.signal });
    } catch (error) {
      const isLost = isConflict(error) || isNotFound(error);
      metrics.reservation(isLost ? 'conflict' : isUncertain(error) ? 'uncertain' : 'failed');
      if (isLost) return false;
      throw error;
    }
    metrics.reservation('reserved');
    const transition = transitionOf(decision.approval, reserved.status);
    if (transition !== undefined) audit(transition);
    memory.note(sealing.reader.approval(reserved), { now: clock.now(), monotonicMs: clock.monotonicMs() });
    return true;
  }
}

function spent(approval: Approval): Approval {
  return { ...approval, status: { ...approval.status, phase: 'Consumed' } };
}

/** The object as it was read, with every field that this release does not know. */
function storedOf(approval: Approval, view: TargetView, reader: ObjectReader): StepUpApproval {
  const stored = view.approvals.find((one) => reader.approval(one) === approval);
  if (stored === undefined) throw new Error('the approval decided on is not of the view');
  return stored;
}

function contended({ metadata }: Policy): GateOutcome {
  return { outcome: 'Rejected', reason: 'Contended', policy: metadata.name };
}

function autoApproved({ policy }: Governed, { metadata: { namespace, name } }: Approval): GateOutcome {
  return { outcome: 'Allowed', reason: 'AutoApproved', policy, approval: `${namespace}/${name}` };
}

function allowed(
  { policy }: Governed,
  decision: Exclude<Extract<Outcome, { outcome: 'Allowed' }>, AutoApproval>,
): GateOutcome {
  const { name, namespace } = decision.approval.metadata;
  const approval = `${namespace}/${name}`;
  return { outcome: 'Allowed', reason: decision.reason, policy, approval, granted: decision.approval };
}

function deniedWith({ policy, attempt, others }: Governed, denial: NeedsApproval, home: string): GateOutcome {
  const namespace = denial.approval?.metadata.namespace ?? home;
  return {
    outcome: 'NeedsApproval',
    reason: denial.reason,
    policy,
    attempt,
    denial,
    namespace,
    ...defined({ others }),
  };
}
