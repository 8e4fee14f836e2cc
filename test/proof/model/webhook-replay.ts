// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Runs one call of the webhook by the real code of src/webhook, on the answers that are recorded, up to the first thing it
// asks of the API server that is not.
import { policyOf, type StepUpApproval, type StepUpDecision, type StepUpPolicy } from '../../../src/api/kinds.ts';
import { attemptOf } from '../../../src/domain/change/attempt.ts';
import { describer } from '../../../src/domain/change/describe.ts';
import { openUseOf } from '../../../src/domain/lifecycle/reservation.ts';
import { ApiError } from '../../../src/kube/http/api-error.ts';
import type { KubeObject } from '../../../src/kube/objects/objects.ts';
import type { Clock } from '../../../src/kube/time/clock.ts';
import { ObjectStore } from '../../../src/kube/watch/object-store.ts';
import type { GateOutcome } from '../../../src/webhook/gate/outcome.ts';
import { Reserver } from '../../../src/webhook/gate/reserve.ts';
import { SuspectedPolicies } from '../../../src/webhook/gate/suspected-policies.ts';
import { UseMemory } from '../../../src/webhook/gate/use-memory.ts';
import { needsLiveTarget, readLiveTarget } from '../../../src/webhook/reads/live-target.ts';
import { LiveViews } from '../../../src/webhook/reads/live-view.ts';
import { at } from '../../support/builders/domain.ts';
import { approvalOf, trusted } from '../../support/seals.ts';
import type { Call, CallEvent, Turn, WebhookSetting } from './webhook-call.ts';

const ownNamespace = 'stepup-system';
const neverAborted = new AbortController().signal;
/** As in the gate. */
const innerDeadlineMs = 3_000;
/** So long a live read takes here: a call waits for a reservation to be settled over two of them. */
const liveReadMs = 2_000;

export async function replay(
  { review, events }: Call,
  { policy, words }: Pick<WebhookSetting, 'policy' | 'words'>,
): Promise<Turn> {
  const stopped = Promise.withResolvers<Turn>();
  let position = 0;
  let seconds = 0;
  let monotonicMs = 0;
  const memory = new UseMemory();
  /** What other calls of the replica have noted by then; what came up during a live read, as after its beginning. */
  const remember = (event: CallEvent) => {
    const note = (approval: StepUpApproval | undefined, atMs: number) =>
      approval && memory.note(approvalOf(approval), { now: at(event.seconds), monotonicMs: atMs });
    if (event.kind === 'Approvals') note(event.knownBefore, monotonicMs - 1);
    note(event.known, event.kind === 'Approvals' ? monotonicMs + 1 : monotonicMs - 1);
  };
  /** What was answered to this question the last time; the first question that was not answered ends the run. */
  const ask = async <K extends CallEvent['kind']>(turn: Turn, ...kinds: readonly K[]) => {
    const event = events[position++];
    if (event === undefined) {
      stopped.resolve(turn);
      return new Promise<never>(() => {});
    }
    if (!kinds.some((kind) => kind === event.kind)) throw new Error(`asked ${turn.kind}, was told ${event.kind}`);
    seconds = event.seconds;
    remember(event);
    if (event.kind === 'Approvals') monotonicMs += liveReadMs;
    return event as Extract<CallEvent, { kind: K }>;
  };
  const clock: Clock = {
    now: () => at(seconds),
    monotonicMs: () => monotonicMs,
    random: () => 0,
    after: () => () => {},
  };
  const [asked] = events;
  if (asked?.kind !== 'Asked') throw new Error('a call begins by being asked');
  position = 1;
  seconds = asked.seconds;
  remember(asked);

  const list = async <T>(items: readonly T[]) => ({ metadata: { resourceVersion: '' }, items });
  const liveViews = new LiveViews(
    {
      approvals: {
        list: async ({ namespace } = {}) =>
          namespace === ownNamespace
            ? list<StepUpApproval>([])
            : list((await ask({ kind: 'ReadApprovals' }, 'Approvals')).approvals),
      },
      decisions: {
        list: async () => list(words.slice(0, (await ask({ kind: 'ReadWords' }, 'Words')).words)),
      },
    },
    clock,
    { liveRead: () => {} },
  );
  const reserver = new Reserver({
    sealing: trusted,
    caches: {
      policies: filled(new ObjectStore<StepUpPolicy>({}), [policy]),
      approvals: filled(
        new ObjectStore<StepUpApproval, 'target' | 'requester'>({
          target: ({ metadata }) => [metadata.labels?.['stepup.dev/target'] ?? ''],
          requester: ({ spec }) => [spec.requester.username],
        }),
        asked.approvals,
      ),
      decisions: filled(
        new ObjectStore<StepUpDecision, 'approval'>({ approval: ({ spec }) => [spec.approval.uid] }),
        words.slice(0, asked.words),
      ),
      namespaces: new ObjectStore<KubeObject>({}),
      hasSynced: () => true,
      approvalsUnbrokenSinceMs: () => undefined,
    },
    approvals: {
      replaceStatus: async (written) => {
        const { kind } = await ask({ kind: 'Reserve', written }, 'Written', 'Conflict');
        if (kind === 'Conflict') throw new ApiError({ kind: 'status', attempt: 'reserve', detail: '', status: 409 });
        return written;
      },
    },
    liveViews,
    memory,
    suspected: new SuspectedPolicies(clock),
    auto: { open: () => new Set<string>(), create: async () => undefined },
    ownNamespace,
    clock,
    metrics: { reservation: () => {} },
    audit: () => {},
  });
  const rest = { request: async () => (await ask({ kind: 'ReadTarget' }, 'Target')).object };

  const judge = async (): Promise<Turn> => {
    const of = policyOf(policy);
    const limit = { deadlineMs: innerDeadlineMs, signal: neverAborted };
    const live = needsLiveTarget(of, review) ? await readLiveTarget(rest, review, limit) : undefined;
    const describeUnder = describer(review, live?.kind === 'Read' ? live.object : undefined);
    const described = describeUnder(of, []);
    switch (described.kind) {
      case 'NotGoverned':
        return { kind: 'NotGoverned' };
      case 'Rejected':
        return { kind: 'Denied', reason: described.reason };
      case 'Privileged': {
        const attempt = attemptOf(of.metadata.name, review, described.change);
        const governed = { request: review, attempt, policy: of, policies: [of], describeUnder };
        return turnOf(await reserver.reserve(governed, { signal: neverAborted, endsAtMs: innerDeadlineMs }));
      }
    }
  };
  return Promise.race([stopped.promise, judge()]);
}

function turnOf(outcome: GateOutcome): Turn {
  if (outcome.outcome !== 'Allowed' || outcome.reason === 'DryRun') return { kind: 'Denied', reason: outcome.reason };
  if (outcome.reason === 'AutoApproved') throw new Error('no policy of the model approves by itself');
  const { granted, reason } = outcome;
  const use = reason === 'Reserved' ? (granted.status?.uses ?? []).length : (openUseOf(granted)?.index ?? -1);
  return { kind: 'Allowed', reason, use };
}

function filled<T extends KubeObject, I extends string>(store: ObjectStore<T, I>, objects: readonly T[]) {
  for (const object of objects) store.set(object);
  return store;
}
