// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Sends pending approvals to the engines that their policies require, and records the answers as votes.
import { approvalsOnTarget } from '../../api/approvals-on-target.ts';
import { policyOf, type StepUpApproval, type StepUpDecision, type StepUpPolicy } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import { targetKeyOf, targetLabelOf } from '../../domain/change/attempt.ts';
import type { EngineAnswer } from '../../domain/engines/engine-answer.ts';
import { type Considered, type EngineReview, engineReview, enginesToAsk } from '../../domain/engines/engine-review.ts';
import type { Abstention, Approval } from '../../domain/model/approval.ts';
import { approvalLabel } from '../../domain/model/labels.ts';
import { enginesOf } from '../../domain/model/policy.ts';
import type { Seen } from '../../domain/model/seen.ts';
import { withSealedDecision } from '../../domain/seals/seal.ts';
import type { EventRecorder } from '../../kube/objects/events.ts';
import type { ObjectKey } from '../../kube/objects/resource.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import { backoffMs } from '../../kube/time/backoff.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { defined } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { OperatorMetrics } from '../../observe/operator-metrics.ts';
import type { TargetWatch } from '../approvals/target-watch.ts';
import type { AskResult } from './ask.ts';
import type { Engine } from './engine-settings.ts';

export interface EngineReconcilerOptions {
  readonly engines: () => ReadonlyMap<string, Engine>;
  /** Asks one engine once; rejects only when the signal aborts. */
  readonly ask: (engine: Engine, review: EngineReview, signal: AbortSignal) => Promise<AskResult>;
  readonly approvalClient: Pick<ResourceClient<StepUpApproval>, 'list'>;
  /** Looks at the target of an approval once; rejects where it could not be read. */
  readonly targets: Pick<TargetWatch, 'look'>;
  readonly decisionClient: Pick<ResourceClient<StepUpDecision>, 'create'>;
  readonly sealing: Sealing;
  readonly own: { readonly username: string; readonly namespace: string };
  readonly policies: Watched<StepUpPolicy>;
  /** Live ones. */
  readonly approvals: Watched<StepUpApproval>;
  readonly decisionsOn: (approval: ObjectKey) => readonly StepUpDecision[];
  /** Called when an engine has abstained for another reason than before. */
  readonly onAbstained: (approval: ObjectKey) => void;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly metrics: Pick<OperatorMetrics, 'engineAnswered'>;
  readonly log: Log;
  readonly clock: Clock;
}

/** Between two questions about one approval: an engine that is down for an hour is still asked again. */
const backoff = { baseMs: 1_000, capMs: 60_000 };
/** An engine that decided is asked again only when its decision has not become visible, or was taken away. */
const decidedMs = 60_000;
const concurrency = 16;
/** So that one slow engine leaves room for the others. */
const mostPerEngine = 4;
const busyMs = 100;

/** What is remembered of asking one engine about one approval. */
interface Memory {
  failures: number;
  why?: string;
  notBeforeMs: number;
}

export class EngineReconciler {
  readonly #options: EngineReconcilerOptions;
  readonly #queue: WorkQueue;
  /** By the approval's UID and the engine's name. */
  readonly #memory = new Map<string, Map<string, Memory>>();
  readonly #underWay = new Map<string, number>();

  constructor(options: EngineReconcilerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: (key, signal) => this.#process(key, signal),
      concurrency,
      clock: options.clock,
      onError: (key, error) => options.log.warn({ key, ...errorFields(error) }, 'asking an engine failed'),
    });
  }

  /** Keys that wait for a worker. */
  get queued(): number {
    return this.#queue.size;
  }

  /** Which engines have not decided on the approval, and why. */
  abstentionsOn(uid: string): readonly Abstention[] {
    return [...(this.#memory.get(uid) ?? [])].flatMap(([name, { why }]) =>
      why === undefined ? [] : [{ name, abstained: why }],
    );
  }

  /** Asks about everything again without a wait: there are other engines, or they are somewhere else. */
  askAnew(): void {
    for (const memories of this.#memory.values()) {
      for (const memory of memories.values()) Object.assign(memory, { failures: 0, notBeforeMs: 0 });
    }
    for (const approval of this.#options.approvals.objects.values()) this.#enqueue(approval);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { approvals, policies } = this.#options;
    enqueueChanges(approvals, signal, (approval, change) => {
      if (change?.type === 'delete') this.#memory.delete(approval.metadata.uid);
      else this.#enqueue(approval);
    });
    enqueueChanges(policies, signal, ({ metadata }, change) => {
      if (change === undefined || change.previous?.metadata.generation === metadata.generation) return;
      for (const approval of approvals.objects.values()) {
        if (approval.spec.policy.name === metadata.name) this.#enqueue(approval);
      }
    });
    await this.#queue.run(signal);
  }

  #enqueue({ metadata, spec }: StepUpApproval): void {
    const policy = this.#options.policies.objects.get({ name: spec.policy.name });
    if (policy === undefined) return;
    for (const engine of enginesOf(policyOf(policy).spec)) {
      this.#queue.add(`${engine}/${metadata.namespace}/${metadata.name}`);
    }
  }

  async #process(key: string, signal: AbortSignal): Promise<void> {
    const [engine = '', namespace = '', name = ''] = key.split('/');
    const approval = this.#options.approvals.objects.get({ namespace, name });
    if (approval === undefined) return;
    const considered = this.#consider(approval);
    if (considered === undefined || !enginesToAsk(considered).includes(engine)) return;
    const memory = this.#memoryOf(approval.metadata.uid, engine);
    const waitMs = memory.notBeforeMs - this.#options.clock.monotonicMs();
    const isBusy = (this.#underWay.get(engine) ?? 0) >= mostPerEngine;
    if (waitMs > 0 || isBusy) {
      this.#queue.addAfter(key, waitMs > 0 ? waitMs : busyMs);
      return;
    }
    const answer = await this.#ask(engine, approval, considered, signal);
    if (answer.verdict !== 'Abstain') {
      await this.#record(engine, approval, answer);
      Object.assign(memory, { failures: 0, why: undefined, notBeforeMs: this.#inMs(decidedMs) });
      this.#queue.addAfter(key, decidedMs);
      return;
    }
    memory.failures += 1;
    const nextMs = backoffMs(backoff, memory.failures, () => this.#options.clock.random());
    memory.notBeforeMs = this.#inMs(nextMs);
    this.#queue.addAfter(key, nextMs);
    if (memory.why === answer.why) return;
    memory.why = answer.why;
    this.#tell(engine, approval, answer.why);
  }

  async #ask(engine: string, approval: StepUpApproval, cached: Considered, signal: AbortSignal): Promise<EngineAnswer> {
    const { engines, ask, metrics } = this.#options;
    const known = engines().get(engine);
    if (known === undefined) return { verdict: 'Abstain', why: 'no engine with this name is configured' };
    this.#underWay.set(engine, (this.#underWay.get(engine) ?? 0) + 1);
    try {
      const [others, seen] = await Promise.all([this.#othersOn(approval), this.#lookAt(cached.approval, signal)]);
      const { answer, result } = await ask(known, engineReview(engine, { ...cached, others, seen }), signal);
      metrics.engineAnswered(engine, result);
      return answer;
    } finally {
      this.#underWay.set(engine, (this.#underWay.get(engine) ?? 1) - 1);
    }
  }

  #consider(approval: StepUpApproval): Considered | undefined {
    const { policies, decisionsOn, sealing, clock } = this.#options;
    const policy = policies.objects.get({ name: approval.spec.policy.name });
    if (policy === undefined) return undefined;
    return {
      approval: sealing.reader.approval(approval),
      decisions: decisionsOn(approval.metadata).map((one) => sealing.reader.decision(one)),
      policy: policyOf(policy),
      policies: [...policies.objects.values()].map(policyOf),
      others: [],
      seen: { kind: 'Nothing' },
      now: clock.now(),
    };
  }

  /** A target that cannot be read delays nothing: the engine gets it as unknown. */
  async #lookAt(approval: Approval, signal: AbortSignal): Promise<Seen> {
    try {
      return await this.#options.targets.look(approval);
    } catch (error) {
      signal.throwIfAborted();
      const { name, namespace } = approval.metadata;
      this.#options.log.warn({ approval: name, namespace, ...errorFields(error) }, 'reading the target failed');
      return { kind: 'Nothing' };
    }
  }

  /**
   * Ended ones too, which no cache has: what was used before is what an engine wants to know. Labels only find, for
   * whoever made an approval may change them: a history of something else would lie to the engine.
   */
  async #othersOn({ metadata, spec }: StepUpApproval): Promise<Considered['others']> {
    const { approvalClient, sealing, own } = this.#options;
    const label = targetLabelOf(spec);
    const key = targetKeyOf(spec);
    const all = await approvalsOnTarget(approvalClient, label, [metadata.namespace, own.namespace]);
    return all
      .filter((one) => one.metadata.uid !== metadata.uid && targetKeyOf(one.spec) === key)
      .map((one) => sealing.reader.approval(one));
  }

  /** By our own identity, which our own stamping is not asked about: all that it would write is written here. */
  async #record(
    engine: string,
    { metadata, spec, apiVersion, kind }: StepUpApproval,
    { verdict, reason, rule }: Exclude<EngineAnswer, { verdict: 'Abstain' }>,
  ): Promise<void> {
    const { decisionClient, sealing, own, clock, log } = this.#options;
    const { name, namespace, uid } = metadata;
    const digest = spec.change?.digest;
    const said = {
      approval: { name, uid, ...defined({ digest }) },
      verdict,
      reason,
      kind: 'Engine',
      engine: { name: engine, rule },
      decidedBy: { username: own.username },
      decidedAt: clock.now().toISOString(),
    } as const;
    await decisionClient.create({
      metadata: {
        generateName: `${name}-`,
        namespace,
        labels: { [approvalLabel]: uid },
        ownerReferences: [{ apiVersion, kind, name, uid }],
      },
      spec: withSealedDecision(namespace, said, sealing.seals),
    });
    log.info({ approval: name, namespace, engine, verdict, rule }, 'engine decided');
  }

  #tell(engine: string, { apiVersion, kind, metadata }: StepUpApproval, why: string): void {
    const { name, namespace, uid } = metadata;
    this.#options.log.warn({ approval: name, namespace, engine, why }, 'engine abstained');
    this.#options.events.emit({
      regarding: { apiVersion, kind, namespace, name, uid },
      type: 'Warning',
      action: 'Ask',
      reason: 'EngineAbstained',
      note: `engine ${engine}: abstained: ${why}`,
    });
    this.#options.onAbstained(metadata);
  }

  #memoryOf(uid: string, engine: string): Memory {
    const memories = this.#memory.get(uid) ?? new Map<string, Memory>();
    this.#memory.set(uid, memories);
    const memory = memories.get(engine) ?? { failures: 0, notBeforeMs: 0 };
    memories.set(engine, memory);
    return memory;
  }

  #inMs(ms: number): number {
    return this.#options.clock.monotonicMs() + ms;
  }
}
