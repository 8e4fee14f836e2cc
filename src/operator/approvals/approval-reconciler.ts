// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Moves approvals through their phases: collects the facts, calls plan, and performs what it returns.
import { approvalsOnTarget } from '../../api/approvals-on-target.ts';
import { policyOf, type StepUpApproval, type StepUpDecision, type StepUpPolicy } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import { type Plan, plan } from '../../domain/lifecycle/plan.ts';
import { openUseOf } from '../../domain/lifecycle/reservation.ts';
import { settle } from '../../domain/lifecycle/settle.ts';
import { tamperedType } from '../../domain/lifecycle/tampered-condition.ts';
import { transitionOf } from '../../domain/lifecycle/transition.ts';
import { type Abstention, type Approval, isEnded } from '../../domain/model/approval.ts';
import { after } from '../../domain/model/deadlines.ts';
import { targetLabel } from '../../domain/model/labels.ts';
import type { Seen } from '../../domain/model/seen.ts';
import { withSealedReleases } from '../../domain/seals/seal.ts';
import { keptFrom } from '../../domain/votes/break-glass.ts';
import { isVotedByCreation } from '../../domain/votes/creation-vote.ts';
import { isConflict, isNotFound, unlessNotFound } from '../../kube/http/api-error.ts';
import type { EventRecorder } from '../../kube/objects/events.ts';
import type { ObjectKey } from '../../kube/objects/resource.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { keyOf } from '../../kube/watch/object-store.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import type { Audit } from '../../observe/audit.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { OperatorMetrics } from '../../observe/operator-metrics.ts';
import type { TargetWatch } from './target-watch.ts';

export interface ApprovalReconcilerOptions {
  readonly client: Pick<ResourceClient<StepUpApproval>, 'get' | 'list' | 'replaceStatus' | 'delete'>;
  readonly own: { readonly namespace: string };
  readonly policies: Watched<StepUpPolicy>;
  /** Live ones. */
  readonly approvals: Watched<StepUpApproval>;
  readonly decisions: Watched<StepUpDecision>;
  readonly byTarget: (label: string) => readonly StepUpApproval[];
  readonly decisionsOn: (approval: ObjectKey) => readonly StepUpDecision[];
  readonly targets: TargetWatch;
  readonly sealing: Sealing;
  /** What engines were asked about the approval of this UID and did not decide. */
  readonly abstentionsOn: (uid: string) => readonly Abstention[];
  readonly retentionSeconds: number;
  /** Ends due sooner than this are removed on time; the scan finds the others. */
  readonly scanSeconds: number;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly metrics: OperatorMetrics;
  readonly audit: Audit;
  readonly log: Log;
  readonly clock: Clock;
}

const staleMs = 100;
const concurrency = 16;

export class ApprovalReconciler {
  readonly #options: ApprovalReconcilerOptions;
  readonly #queue: WorkQueue;

  constructor(options: ApprovalReconcilerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: (key) => this.#process(key),
      concurrency,
      clock: options.clock,
      onError: (approval, error) =>
        options.log.warn({ approval, ...errorFields(error) }, 'reconciling an approval failed'),
    });
  }

  /** Keys that wait for a worker. */
  get queued(): number {
    return this.#queue.size;
  }

  enqueue(approval: ObjectKey): void {
    this.#queue.add(keyOf(approval));
  }

  async run(signal: AbortSignal): Promise<void> {
    const { approvals, decisions, policies } = this.#options;
    enqueueChanges(approvals, signal, (approval, change) => {
      if (change?.type === 'delete') {
        // Ended, mostly by our own write, which has seen to its removal.
        this.#options.targets.forget(approval.metadata.uid);
        // A vote that came while the copy still had the live approval has not been handled as one on an ended approval.
        if (this.#isBreakGlass(approval)) this.enqueue(approval.metadata);
        return;
      }
      this.enqueue(approval.metadata);
      // A newer content replaces the older ones that nobody has decided.
      if (change !== undefined && change.previous === undefined) this.#enqueueSiblings(approval);
    });
    enqueueChanges(decisions, signal, ({ metadata, spec }, change) => {
      // Those that were there already belong to approvals that are looked at anyway.
      if (change !== undefined) this.enqueue({ namespace: metadata.namespace, name: spec.approval.name });
    });
    enqueueChanges(policies, signal, ({ metadata }, change) => {
      // Whom another policy gates may not vote, so each policy's change concerns every approval.
      if (change !== undefined && change.previous?.metadata.generation !== metadata.generation) this.#enqueueAll();
      if (change?.type === 'delete') this.#enqueueAll();
    });
    await this.#queue.run(signal);
  }

  #isBreakGlass({ metadata }: StepUpApproval): boolean {
    return this.#options.decisionsOn(metadata).some(({ spec }) => spec.bypass === true);
  }

  #enqueueAll(): void {
    for (const { metadata } of this.#options.approvals.objects.values()) this.enqueue(metadata);
  }

  #enqueueSiblings(approval: StepUpApproval): void {
    for (const { metadata } of this.#siblingsOf(approval)) this.enqueue(metadata);
  }

  #siblingsOf({ metadata }: StepUpApproval): readonly StepUpApproval[] {
    const label = metadata.labels?.[targetLabel];
    if (label === undefined) return [];
    return this.#options.byTarget(label).filter(({ metadata: { uid } }) => uid !== metadata.uid);
  }

  async #process(key: string): Promise<void> {
    const [namespace = '', name = ''] = key.split('/');
    const approval =
      this.#options.approvals.objects.get({ namespace, name }) ?? (await this.#fetch({ namespace, name }));
    if (approval === undefined) return;
    if (isEnded(approval)) {
      this.#options.targets.forget(approval.metadata.uid);
      await this.#perform(approval, this.#planFor(approval, { kind: 'Nothing' }));
      return;
    }
    const seen = this.#options.targets.see(this.#read(approval));
    // Nobody has looked yet: without a look, time alone would settle it.
    if (seen === undefined) return;
    const first = this.#planFor(approval, seen, await this.#originalsOf(approval));
    if (!first.isToBeConfirmed) {
      await this.#perform(approval, first, seen);
      return;
    }
    const confirmed = await this.#options.targets.confirm(this.#read(approval));
    await this.#perform(approval, this.#planFor(approval, confirmed), confirmed);
  }

  /** Of what nobody but its creator may have approved the ended ones on its target are looked at too, until it is approved. */
  async #originalsOf(approval: StepUpApproval): Promise<readonly StepUpApproval[]> {
    const { client, own } = this.#options;
    const { metadata, status } = approval;
    const label = metadata.labels?.[targetLabel];
    const isJudged = (status?.phase ?? 'Pending') !== 'Pending';
    if (!isVotedByCreation(approval) || isJudged || label === undefined) return this.#siblingsOf(approval);
    const all = await approvalsOnTarget(client, label, [metadata.namespace, own.namespace]);
    return all.filter(({ metadata: { uid } }) => uid !== metadata.uid);
  }

  /** Not among the live ones: ended, or gone. */
  async #fetch(key: ObjectKey): Promise<StepUpApproval | undefined> {
    return unlessNotFound(this.#options.client.get(key));
  }

  #read(approval: StepUpApproval): Approval {
    return this.#options.sealing.reader.approval(approval);
  }

  #planFor(approval: StepUpApproval, seen: Seen, siblings = this.#siblingsOf(approval)): Plan {
    const { policies, decisionsOn, abstentionsOn, retentionSeconds, sealing, clock } = this.#options;
    const policy = policies.objects.get({ name: approval.spec.policy.name });
    return plan({
      approval: this.#read(approval),
      decisions: decisionsOn(approval.metadata).map((one) => sealing.reader.decision(one)),
      abstentions: abstentionsOn(approval.metadata.uid),
      ...(policy === undefined ? {} : { policy: policyOf(policy) }),
      policies: [...policies.objects.values()].map(policyOf),
      siblings: siblings.map((one) => this.#read(one)),
      seen,
      retentionSeconds,
      now: clock.now(),
    });
  }

  async #perform(approval: StepUpApproval, todo: Plan, seen?: Seen): Promise<void> {
    const { status, nextAt, isToBeRemoved } = todo;
    if (isToBeRemoved) return this.#delete(approval);
    const key = keyOf(approval.metadata);
    if (!(await this.#write(approval, todo, seen))) {
      this.#queue.addAfter(key, staleMs);
      return;
    }
    if (status?.endedAt !== undefined) {
      this.#options.targets.forget(approval.metadata.uid);
      this.#removeLater(key, after(keptFrom({ ...approval, status }), this.#options.retentionSeconds));
      return;
    }
    if (nextAt === undefined) return;
    if (isEnded(approval)) this.#removeLater(key, nextAt);
    else this.#queue.addAt(key, nextAt);
  }

  #removeLater(key: string, removeAt: Date): void {
    const { clock, scanSeconds } = this.#options;
    if (removeAt <= after(clock.now(), scanSeconds)) this.#queue.addAt(key, removeAt);
  }

  /** Compare-and-swap, where there is a status to write; false when the copy was old. */
  async #write(approval: StepUpApproval, { status, events, voters }: Plan, seen: Seen | undefined): Promise<boolean> {
    const { client, metrics, sealing } = this.#options;
    if (status === undefined) return true;
    try {
      const sealed = withSealedReleases(this.#read(approval), status, sealing.seals);
      await client.replaceStatus({ ...approval, status: sealed });
    } catch (error) {
      if (isNotFound(error)) return true;
      if (isConflict(error)) return false;
      throw error;
    }
    const { name, namespace, uid } = approval.metadata;
    const transition = transitionOf(this.#read(approval), status, voters);
    if (transition !== undefined) this.#options.audit(transition);
    if (status.phase !== undefined && status.phase !== approval.status?.phase) {
      metrics.moved(status.phase);
      this.#options.log.info({ approval: name, namespace, phase: status.phase }, 'approval moved');
    }
    const { review } = status;
    if (review !== undefined && review !== approval.status?.review) {
      metrics.reviewed(review);
      this.#options.log.warn({ approval: name, namespace, review }, 'break-glass');
    }
    const open = openUseOf(this.#read(approval));
    const isSettled = open !== undefined && status.phase !== 'Reserved';
    if (isSettled && seen !== undefined) metrics.settled(status.evidence ?? settle(open.use, seen));
    for (const { type, reason, note } of events) {
      if (reason === tamperedType) metrics.tampered();
      this.#options.events.emit({
        regarding: { apiVersion: approval.apiVersion, kind: approval.kind, namespace, name, uid },
        type,
        action: 'Move',
        reason,
        note,
      });
    }
    return true;
  }

  async #delete({ metadata }: StepUpApproval): Promise<void> {
    try {
      await this.#options.client.delete(metadata, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}
