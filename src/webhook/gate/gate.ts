// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Decides governed requests: calls the domain and performs its decision. Any failure is a denial.
import type { Answer } from '../../api/admission-review.ts';
import type { Sealing } from '../../api/sealing.ts';
import { type Attempt, attemptOf, isNamespaceObject, targetLabelValue } from '../../domain/change/attempt.ts';
import { describe, isHarmlessDryRun, statedOn } from '../../domain/change/describe.ts';
import { isEviction, uidNamedBy } from '../../domain/change/eviction.ts';
import { effectivePolicy, sharedSelectorKeys } from '../../domain/coverage/shared-policy.ts';
import { wordsOf } from '../../domain/decision/message.ts';
import { isEnforced, type Policy, requestRulesOf } from '../../domain/model/policy.ts';
import type { DeniedReason } from '../../domain/model/reason.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import { withinLimit } from '../../kube/http/call-limit.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { textAt } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import type { Verifications } from '../after-answer/content-verifier.ts';
import type { Filings } from '../after-answer/filing.ts';
import type { Observations } from '../after-answer/observations.ts';
import type { Caches } from '../reads/dependencies.ts';
import { type LiveTarget, needsLiveTarget, readLiveTarget } from '../reads/live-target.ts';
import { pendingOf } from '../reads/pending-count.ts';
import type { Policies } from '../reads/policies.ts';
import type { Governed } from './governed.ts';
import { answerOf, lookedOn, type Refused, type Verdict } from './outcome.ts';
import type { RequesterLimit } from './requester-limit.ts';
import type { Consumption } from './reserve.ts';

export interface GateDependencies {
  readonly caches: Caches;
  readonly policies: Policies;
  readonly rest: Pick<RestClient, 'request'>;
  readonly consumption: Pick<Consumption, 'decide' | 'foresee'>;
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

/** Shorter than the API server's 5 s, so that the message is ours. */
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
    let verdict: Verdict;
    try {
      verdict = await this.#judge(policyName, request);
    } catch (error) {
      log.error({ policy: policyName, requestUid: request.uid, ...errorFields(error) }, 'decision failed');
      verdict = refused(policyName, 'Failed');
    }
    const known = this.#dependencies.policies.cached(policyName);
    const mode = known === undefined ? entry : modeOf(known);
    if (mode === 'Observe') verdict = this.#observed(verdict, known, request);
    // Only names of policies that exist become label values.
    const policy = known === undefined ? 'unknown' : policyName;
    const { outcome, reason } = verdict;
    metrics.decision({
      policy,
      outcome: outcome === 'Refused' ? 'Denied' : outcome,
      reason,
      isDryRun: request.dryRun,
    });
    // Denials come in storms and have a counter; a reservation is rare and worth a line.
    if (mode === 'Enforce' && outcome === 'Allowed' && reason !== 'DryRun') {
      log.info({ policy: policyName, approval: verdict.approval, reason, requestUid: request.uid }, 'request admitted');
    }
    metrics.decisionTook((clock.monotonicMs() - startedAtMs) / 1000);
    return answerOf(verdict, request);
  }

  async #judge(policyName: string, request: AdmissionRequest): Promise<Verdict> {
    const { caches, policies } = this.#dependencies;
    if (!caches.hasSynced()) return refused(policyName, 'NotReady');
    const known = policies.cached(policyName);
    const quick = known && this.#judgeQuickly(known, request);
    if (quick !== undefined) return quick;
    const limit = { attempt: `decide on request ${request.uid}`, deadlineMs: innerDeadlineMs };
    return withinLimit(limit, async (signal) => {
      const policy = known ?? (await policies.find(policyName));
      if (policy === undefined) return refused(policyName, 'UnknownPolicy');
      return (
        (known === undefined ? this.#judgeQuickly(policy, request) : undefined) ??
        this.#judgeFully(policy, request, signal)
      );
    });
  }

  /** The verdicts that hang on the request and the policy alone: most requests end here, without a wait. */
  #judgeQuickly(policy: Policy, request: AdmissionRequest): Verdict | undefined {
    const { name } = policy.metadata;
    const { effective, selectorKeys } = this.#sharing(policy, request);
    const described = describe(request, policy, { selectorKeys });
    if (described.kind === 'NotGoverned') return { outcome: 'NotGoverned', reason: described.reason };
    const needsLive = needsLiveTarget(policy, request);
    const isDescribed = described.kind === 'Attempt';
    if (isHarmlessDryRun(request) && (isDescribed || (needsLive && described.reason === 'TargetUnknown'))) {
      if (!isDescribed) return { outcome: 'Allowed', reason: 'DryRun', policy: effective };
      const { change } = described.attempt;
      this.#noteContent(effective, request, described.attempt);
      return { outcome: 'Allowed', reason: 'DryRun', policy: effective, digest: change.digest };
    }
    if (!isDescribed && !needsLive) return refused(name, described.reason);
    return unstated(effective, request);
  }

  async #judgeFully(policy: Policy, request: AdmissionRequest, signal: AbortSignal): Promise<Verdict> {
    const { policies, rest, consumption, clock } = this.#dependencies;
    const startedAtMs = clock.monotonicMs();
    const { effective, selectorKeys } = this.#sharing(policy, request);
    const live = needsLiveTarget(policy, request)
      ? await readLiveTarget(rest, request, { deadlineMs: innerDeadlineMs, signal })
      : undefined;
    const context = {
      selectorKeys,
      ...(live?.kind === 'Read' ? { live: live.object } : {}),
    };
    const described = describe(request, policy, context);
    switch (described.kind) {
      case 'NotGoverned':
        return { outcome: 'NotGoverned', reason: described.reason };
      case 'Refused':
        return live?.kind === 'Unread'
          ? {
              ...refused(policy.metadata.name, described.reason, live.why),
              ...(live.isAbsent ? { isAbsent: true } : {}),
            }
          : refused(policy.metadata.name, described.reason);
      case 'Attempt': {
        if (modeOf(policy) === 'Enforce' && mayEndAnother(request, live)) {
          return refused(policy.metadata.name, 'TargetUnknown', notNamed);
        }
        const attempt = attemptOf(effective.metadata.name, request, described.attempt.change);
        const governed: Governed = { request, attempt, policy: effective, policies: policies.allWith(policy), context };
        if (modeOf(policy) === 'Observe') return consumption.foresee(governed);
        const result = await consumption.decide(governed, { signal, endsAtMs: startedAtMs + innerDeadlineMs });
        this.#noteContentOf(result, governed);
        return result.outcome === 'Denied' ? this.#filed(result, request) : result;
      }
    }
  }

  /** Only what becomes of a namespace is asked about under a policy that others share. */
  #sharing(policy: Policy, request: AdmissionRequest) {
    if (!isNamespaceObject(request)) return { effective: policy, selectorKeys: [] };
    const all = this.#dependencies.policies.allWith(policy);
    const effective = effectivePolicy(policy, request, all);
    return { effective, selectorKeys: sharedSelectorKeys(effective, all) };
  }

  /** In mode Observe nothing is refused: what would have been is said and counted. */
  #observed(verdict: Verdict, policy: Policy | undefined, request: AdmissionRequest): Verdict {
    const seen = lookedOn(verdict);
    if (policy !== undefined) {
      const isBlocked = seen.outcome === 'WouldDeny' && seen.isPolicys;
      this.#dependencies.observations.note(
        policy,
        isBlocked ? { ...wordsOf(request), reason: seen.reason } : undefined,
      );
    }
    return seen;
  }

  /** A dry run shows approvals that were asked for ahead what they are for. */
  #noteContent(policy: Policy, request: AdmissionRequest, { change, targetKey }: Attempt): void {
    const { caches, verifications, sealing } = this.#dependencies;
    const approvals = caches.approvals.byIndex('target', targetLabelValue(targetKey));
    if (approvals.length === 0) return;
    const attempt = attemptOf(policy.metadata.name, request, change);
    for (const object of approvals) {
      verifications.note({ approval: sealing.reader.approval(object), attempt, request, policy, isUse: false });
    }
  }

  #noteContentOf(verdict: Verdict, { attempt, request, policy }: Governed): void {
    const shows = { attempt, request, policy };
    const { verifications } = this.#dependencies;
    if (verdict.outcome === 'Allowed' && (verdict.reason === 'Reserved' || verdict.reason === 'Readmitted')) {
      verifications.note({ ...shows, approval: verdict.granted, isUse: true });
    }
    if (verdict.outcome === 'Denied' && verdict.denial.approval !== undefined && !verdict.denial.isElsewhere) {
      verifications.note({ ...shows, approval: verdict.denial.approval, isUse: false });
    }
  }

  /** Has the approval filed that the denial names, unless the requester has asked for too many. */
  #filed(verdict: Extract<Verdict, { outcome: 'Denied' }>, request: AdmissionRequest): Verdict {
    const { filings, limit } = this.#dependencies;
    const { policy, attempt, denial, namespace, others } = verdict;
    const name = denial.approvalName;
    // Another policy's is filed by its own call, which knows what it shows.
    if (denial.isElsewhere === true) return verdict;
    if (denial.approval !== undefined || filings.isKnown(name)) return verdict;
    const most = requestRulesOf(policy).maxPendingPerRequester;
    const { username } = attempt.requester;
    const pending = pendingOf(this.#dependencies.caches, username, policy.metadata.name);
    if (pending >= most) return refused(policy.metadata.name, 'TooManyPending');
    if (!limit.take(username)) return refused(policy.metadata.name, 'TooManyPending', tooFast);
    filings.file({ name, namespace, attempt, request, policy, others });
    return verdict;
  }
}

const tooFast = 'No approval was filed: the requester causes new ones too fast. Send the request again in a moment';

const notNamed = 'The eviction does not name the UID of this pod. Send it again in a moment';

/** True of an eviction that would be carried out on whatever pod bears the name by then. */
function mayEndAnother(request: AdmissionRequest, live: LiveTarget | undefined): boolean {
  if (!isEviction(request)) return false;
  return live?.kind !== 'Read' || uidNamedBy(request) !== textAt(live.object, '/metadata/uid');
}

function modeOf(policy: Policy): Mode {
  return isEnforced(policy) ? 'Enforce' : 'Observe';
}

function refused(policy: string, reason: DeniedReason, hint?: string): Refused {
  return { outcome: 'Refused', reason, policy, ...(hint === undefined ? {} : { hint }) };
}

function unstated(policy: Policy, request: AdmissionRequest): Refused | undefined {
  const { reasonRequired, ticketRequired } = policy.spec.approval;
  if (reasonRequired && statedOn(request, 'reason') === undefined)
    return refused(policy.metadata.name, 'ReasonRequired');
  if (ticketRequired && statedOn(request, 'ticket') === undefined)
    return refused(policy.metadata.name, 'TicketRequired');
  return undefined;
}
