// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Decides reviews of governed requests in the five steps of the README: describe, dry run, find, reserve, deny and file.
// It calls the domain and performs its decision. Any failure is a denial.
import type { Answer } from '../../api/admission-review.ts';
import type { Sealing } from '../../api/sealing.ts';
import { attemptOf, targetLabelValue } from '../../domain/change/attempt.ts';
import type { Change } from '../../domain/change/change.ts';
import { type Described, describer, isHarmlessDryRun, statedOn } from '../../domain/change/describe.ts';
import { isEviction, uidNamedBy } from '../../domain/change/eviction.ts';
import { type Asking, askingOf } from '../../domain/coverage/shared-policy.ts';
import { phraseOf } from '../../domain/decision/message.ts';
import { isEnforced, type Policy, requestRulesOf } from '../../domain/model/policy.ts';
import type { DeniedReason } from '../../domain/model/reason.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import { withinLimit } from '../../kube/http/call-limit.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { defined, textAt } from '../../lib/json.ts';
import { lazy } from '../../lib/lazy.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import type { Verifications } from '../after-answer/content-verifier.ts';
import type { Filings } from '../after-answer/filing.ts';
import type { Observations } from '../after-answer/observations.ts';
import type { Caches } from '../reads/dependencies.ts';
import { type LiveTarget, needsLiveTarget, readLiveTarget } from '../reads/live-target.ts';
import { pendingOf } from '../reads/pending-count.ts';
import type { Policies } from '../reads/policies.ts';
import type { Governed, Limit } from './governed.ts';
import { answerOf, type GateOutcome, lookedOn, type Rejected } from './outcome.ts';
import type { RequesterLimit } from './requester-limit.ts';
import type { Reserver } from './reserve.ts';

export interface GateDependencies {
  readonly caches: Caches;
  readonly policies: Policies;
  readonly rest: Pick<RestClient, 'request'>;
  readonly reserver: Pick<Reserver, 'reserve' | 'foresee'>;
  readonly filings: Pick<Filings, 'file' | 'isKnown'>;
  readonly verifications: Pick<Verifications, 'note'>;
  readonly observations: Pick<Observations, 'note'>;
  readonly limit: Pick<RequesterLimit, 'take'>;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<WebhookMetrics, 'decision' | 'decisionTook'>;
}

/** What a policy does about what it finds. */
export type Mode = 'Enforce' | 'Observe';

/** Shorter than the API server's 5 s, so that stepup writes the message. */
const innerDeadlineMs = 3_000;

export class Gate {
  readonly #dependencies: GateDependencies;

  constructor(dependencies: GateDependencies) {
    this.#dependencies = dependencies;
  }

  /** Never rejects. entry: the mode of the policy when the API server was told to ask. */
  async review(policyName: string, request: AdmissionRequest, entry: Mode = 'Enforce'): Promise<Answer> {
    const { clock, log, metrics } = this.#dependencies;
    const startedAtMs = clock.monotonicMs();
    let result: GateOutcome;
    try {
      result = await this.#decide(policyName, request, startedAtMs + innerDeadlineMs);
    } catch (error) {
      log.error({ policy: policyName, requestUid: request.uid, ...errorFields(error) }, 'decision failed');
      result = rejected(policyName, 'Failed');
    }
    const known = this.#dependencies.policies.cached(policyName);
    const mode = known === undefined ? entry : modeOf(known);
    if (mode === 'Observe') result = this.#observed(result, known, request);
    // Only names of policies that exist become label values.
    const policy = known === undefined ? 'unknown' : policyName;
    metrics.decision({
      policy,
      outcome: publicOutcome(result),
      reason: result.reason,
      isDryRun: request.dryRun,
    });
    // Denials come in storms and have a counter; a reservation is rare and worth a line.
    if (mode === 'Enforce' && result.outcome === 'Allowed' && result.reason !== 'DryRun') {
      const { approval, reason } = result;
      log.info({ policy: policyName, approval, reason, requestUid: request.uid }, 'request admitted');
    }
    metrics.decisionTook((clock.monotonicMs() - startedAtMs) / 1000);
    return answerOf(result, request);
  }

  /** Rejects when the API server cannot be asked before the monotonic instant. */
  async #decide(policyName: string, request: AdmissionRequest, endsAtMs: number): Promise<GateOutcome> {
    const { caches, policies, clock } = this.#dependencies;
    const inTime = <T>(work: (signal: AbortSignal) => Promise<T>) => {
      const deadlineMs = Math.max(endsAtMs - clock.monotonicMs(), 1);
      return withinLimit({ attempt: `decide on request ${request.uid}`, deadlineMs }, work);
    };
    if (!caches.hasSynced()) return rejected(policyName, 'NotReady');
    const policy = policies.cached(policyName) ?? (await inTime(() => policies.find(policyName)));
    if (policy === undefined) return rejected(policyName, 'UnknownPolicy');

    // 1. Describe: what does it change? If nothing privileged, it passes and uses no approval.
    const all = lazy(() => policies.allWith(policy));
    const asking = askingOf(policy, request, all);
    const describeUnder = describer(request);
    const described = describeUnder(policy, asking.selectorKeys);
    if (described.kind === 'NotGoverned') return { outcome: 'NotGoverned', reason: described.reason };
    const needsLive = needsLiveTarget(policy, request);

    // 2. Dry run: passes with a warning. Most requests end here, without a wait.
    if (isHarmlessDryRun(request) && isDryRunnable(described, needsLive)) {
      return this.#dryRun(asking.effective, request, described);
    }
    if (described.kind === 'Rejected' && !needsLive) return rejected(policy.metadata.name, described.reason);
    const unstated = unstatedOn(asking.effective, request);
    if (unstated !== undefined) return unstated;

    return inTime((signal) => {
      const limit = { signal, endsAtMs };
      if (described.kind === 'Privileged' && !needsLive) {
        const governed = { ...governedBy(asking, request, described.change), policies: all(), describeUnder };
        return this.#useApproval(policy, governed, limit);
      }
      return this.#describedLive(policy, asking, request, all, limit);
    });
  }

  /** Describes the request with the object that its review does not carry, and goes on from there. */
  async #describedLive(
    policy: Policy,
    asking: Asking,
    request: AdmissionRequest,
    all: () => readonly Policy[],
    limit: Limit,
  ): Promise<GateOutcome> {
    const { name } = policy.metadata;
    const { signal } = limit;
    const live = await readLiveTarget(this.#dependencies.rest, request, { deadlineMs: innerDeadlineMs, signal });
    const describeUnder = describer(request, live.kind === 'Read' ? live.object : undefined);
    const described = describeUnder(policy, asking.selectorKeys);
    switch (described.kind) {
      case 'NotGoverned':
        return { outcome: 'NotGoverned', reason: described.reason };
      case 'Rejected':
        if (live.kind === 'Read') return rejected(name, described.reason);
        return { ...rejected(name, described.reason, live.why), ...(live.isAbsent ? { isAbsent: true } : {}) };
      case 'Privileged': {
        if (modeOf(policy) === 'Enforce' && mayEndAnother(request, live)) {
          return rejected(name, 'TargetUnknown', notNamed);
        }
        const governed = { ...governedBy(asking, request, described.change), policies: all(), describeUnder };
        return this.#useApproval(policy, governed, limit);
      }
    }
  }

  /** The request needs an approval. */
  async #useApproval(policy: Policy, governed: Governed, limit: Limit): Promise<GateOutcome> {
    const { reserver } = this.#dependencies;
    if (modeOf(policy) === 'Observe') return reserver.foresee(governed);
    // 3. Find the approvals that cover it. 4. Reserve one of them for this request.
    const result = await reserver.reserve(governed, limit);
    this.#noteContentOf(result, governed);
    // 5. Deny and file: no approval covers it.
    return result.outcome === 'NeedsApproval' ? this.#filed(result, governed.request) : result;
  }

  /** A dry run shows approvals that were asked for ahead what they are for. */
  #dryRun(policy: Policy, request: AdmissionRequest, described: Described): GateOutcome {
    if (described.kind !== 'Privileged') return { outcome: 'Allowed', reason: 'DryRun', policy };
    const { caches, verifications, sealing } = this.#dependencies;
    const { change } = described;
    const attempt = attemptOf(policy.metadata.name, request, change);
    for (const object of caches.approvals.byIndex('target', targetLabelValue(attempt.targetKey))) {
      verifications.note({ approval: sealing.reader.approval(object), attempt, request, policy, isUse: false });
    }
    return { outcome: 'Allowed', reason: 'DryRun', policy, digest: change.digest };
  }

  /** In mode Observe nothing is denied: what would have been is reported and counted. */
  #observed(result: GateOutcome, policy: Policy | undefined, request: AdmissionRequest): GateOutcome {
    const seen = lookedOn(result);
    if (policy !== undefined) {
      const isBlocked = seen.outcome === 'WouldDeny' && seen.isPolicys;
      this.#dependencies.observations.note(
        policy,
        isBlocked ? { ...phraseOf(request), reason: seen.reason } : undefined,
      );
    }
    return seen;
  }

  #noteContentOf(result: GateOutcome, { attempt, request, policy }: Governed): void {
    const shows = { attempt, request, policy };
    const { verifications } = this.#dependencies;
    if (result.outcome === 'Allowed' && (result.reason === 'Reserved' || result.reason === 'Readmitted')) {
      verifications.note({ ...shows, approval: result.granted, isUse: true });
    }
    if (result.outcome === 'NeedsApproval' && result.denial.approval !== undefined && !result.denial.isElsewhere) {
      verifications.note({ ...shows, approval: result.denial.approval, isUse: false });
    }
  }

  /** Has the approval filed that the denial names, unless the requester has asked for too many. */
  #filed(result: Extract<GateOutcome, { outcome: 'NeedsApproval' }>, request: AdmissionRequest): GateOutcome {
    const { filings, limit } = this.#dependencies;
    const { policy, attempt, denial, namespace, others } = result;
    const name = denial.approvalName;
    // Another policy's is filed by its own call, which knows what it shows.
    if (denial.isElsewhere === true) return result;
    if (denial.approval !== undefined || filings.isKnown(name)) return result;
    const most = requestRulesOf(policy).maxPendingPerRequester;
    const { username } = attempt.requester;
    const pending = pendingOf(this.#dependencies.caches, username, policy.metadata.name);
    if (pending >= most) return rejected(policy.metadata.name, 'TooManyPending');
    if (!limit.take(username)) return rejected(policy.metadata.name, 'TooManyPending', tooFast);
    filings.file({ name, namespace, attempt, request, policy, others });
    return result;
  }
}

const tooFast = 'No approval was filed: the requester causes new ones too fast. Send the request again in a moment';

const notNamed = 'The eviction does not name the UID of this pod. Send it again in a moment';

/** An outcome as metrics count it: a denial is one, whether an approval lifts it or not. */
function publicOutcome({ outcome }: GateOutcome): 'Allowed' | 'Denied' | 'NotGoverned' | 'WouldDeny' {
  return outcome === 'NeedsApproval' || outcome === 'Rejected' ? 'Denied' : outcome;
}

/** A dry run is answered that approval is needed, even if only the live object could say for what. */
function isDryRunnable(described: Described, needsLive: boolean): boolean {
  return described.kind === 'Privileged' || (needsLive && described.reason === 'TargetUnknown');
}

function governedBy({ effective }: Asking, request: AdmissionRequest, change: Change) {
  return { request, policy: effective, attempt: attemptOf(effective.metadata.name, request, change) };
}

/** True of an eviction that would be carried out on whatever pod has the name by then. */
function mayEndAnother(request: AdmissionRequest, live: LiveTarget): boolean {
  if (!isEviction(request)) return false;
  return live.kind !== 'Read' || uidNamedBy(request) !== textAt(live.object, '/metadata/uid');
}

function modeOf(policy: Policy): Mode {
  return isEnforced(policy) ? 'Enforce' : 'Observe';
}

function rejected(policy: string, reason: DeniedReason, hint?: string): Rejected {
  return { outcome: 'Rejected', reason, policy, ...defined({ hint }) };
}

/** The denial of a request that does not state the reason or ticket that the policy wants; undefined when it does. */
function unstatedOn(policy: Policy, request: AdmissionRequest): Rejected | undefined {
  const { reasonRequired, ticketRequired } = policy.spec.approval;
  if (reasonRequired && statedOn(request, 'reason') === undefined)
    return rejected(policy.metadata.name, 'ReasonRequired');
  if (ticketRequired && statedOn(request, 'ticket') === undefined)
    return rejected(policy.metadata.name, 'TicketRequired');
  return undefined;
}
