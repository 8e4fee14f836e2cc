// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// How often an engine is asked, on a clock that the test moves, and what is written for its answer.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StepUpApproval, StepUpPolicy } from '../../../../src/api/kinds.ts';
import type { EngineReview } from '../../../../src/domain/engines/engine-review.ts';
import type { Seen } from '../../../../src/domain/model/seen.ts';
import type { KubeObject } from '../../../../src/kube/objects/objects.ts';
import type { ObjectChange } from '../../../../src/kube/watch/reflector.ts';
import type { Watched } from '../../../../src/kube/watch/watched.ts';
import type { AskResult } from '../../../../src/operator/engines/ask.ts';
import { EngineReconciler } from '../../../../src/operator/engines/engine-reconciler.ts';
import type { Engine } from '../../../../src/operator/engines/engine-settings.ts';
import { approval, deployment, policy, request } from '../../../support/builders/domain.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';
import { trusted } from '../../../support/seals.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const under = policy({ approval: { require: [{ name: 'rules', engine: 'opa' }] } });
const engine: Engine = { name: 'opa', url: new URL('https://opa/'), format: 'opa', timeoutSeconds: 3 };
const abstains = (why: string): AskResult => ({ result: 'Abstain', answer: { verdict: 'Abstain', why } });
const approves: AskResult = { result: 'Approve', answer: { verdict: 'Approve', reason: 'fine', rule: 'r1' } };

/** A copy of these objects; `tell` is what a watch would. */
function watched<T extends KubeObject>(objects: readonly T[]) {
  const handlers: ((change: ObjectChange<T>) => void)[] = [];
  const named = new Map(objects.map((object) => [object.metadata.name, object]));
  return {
    objects: {
      get: ({ name }) => named.get(name),
      values: () => named.values(),
      get size() {
        return named.size;
      },
    },
    synced: Promise.resolve(),
    onChange: (handler) => handlers.push(handler),
    tell: (change: ObjectChange<T>) => {
      for (const handler of handlers) handler(change);
    },
  } satisfies Watched<T> & { tell: unknown };
}

let stop: AbortController;
beforeEach(() => {
  stop = new AbortController();
});
afterEach(() => stop.abort());

function start(
  answer: (review: EngineReview) => AskResult | Promise<AskResult>,
  approvals: readonly string[] = ['a'],
  look: () => Promise<Seen> = async () => ({ kind: 'Nothing' }),
) {
  const clock = fakeClock(new Date('2026-01-01T12:00:00Z'));
  const asks: string[] = [];
  const created: object[] = [];
  const told: string[] = [];
  const engines = new Map([['opa', engine]]);
  const stored = approvals.map((name) => ({
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpApproval',
    ...approval(request(), under, { name, uid: `uid-${name}` }),
  })) as unknown as StepUpApproval[];
  const live = watched(stored);
  const reconciler = new EngineReconciler({
    engines: () => engines,
    ask: async (_, review) => {
      asks.push(`${clock.monotonicMs() / 1000} ${review.approval.name}`);
      return answer(review);
    },
    approvalClient: { list: async () => ({ items: [], metadata: {} }) as never },
    targets: { look },
    decisionClient: {
      create: async (object) => {
        created.push(object);
        return object as never;
      },
    },
    sealing: trusted,
    own: { username: 'stepup', namespace: 'stepup-system' },
    policies: watched([under as unknown as StepUpPolicy]),
    approvals: live,
    decisionsOn: () => [],
    onAbstained: ({ name }) => told.push(name),
    events: { emit: ({ note }) => told.push(note) },
    metrics: { engineAnswered: () => {} },
    log: silent,
    clock,
  });
  const running = reconciler.run(stop.signal);
  return { clock, asks, created, told, engines, live, stored, reconciler, running };
}

describe('an engine that abstains', () => {
  test('is asked again after twice as long each time, at most a minute, until time is up', async () => {
    const { clock, asks } = start(() => abstains('no rule'));
    await clock.advance(200_000);
    expect(asks).toEqual(['0 a', '1 a', '3 a', '7 a', '15 a', '31 a', '63 a', '123 a', '183 a']);
    await clock.advance(3_400_000);
    const atEnd = asks.length;
    await clock.advance(3_600_000);
    expect(asks).toHaveLength(atEnd);
  });

  test('is not asked sooner because something changes', async () => {
    const { clock, asks, live, stored } = start(() => abstains('no rule'));
    await clock.advance(500);
    for (let i = 0; i < 5; i++) live.tell({ type: 'update', object: stored[0] as StepUpApproval } as never);
    await clock.advance(400);
    expect(asks).toEqual(['0 a']);
  });

  test('is told of once for each reason, and remembered until the approval is gone', async () => {
    let why = 'no rule';
    const { clock, told, reconciler, live, stored } = start(() => abstains(why));
    await clock.advance(10_000);
    expect(told).toEqual(['engine opa: abstained: no rule', 'a']);
    expect(reconciler.abstentionsOn('uid-a')).toEqual([{ name: 'opa', abstained: 'no rule' }]);
    why = 'it cannot be reached';
    await clock.advance(10_000);
    expect(told.slice(2)).toEqual(['engine opa: abstained: it cannot be reached', 'a']);
    live.tell({ type: 'delete', object: stored[0] as StepUpApproval } as never);
    expect(reconciler.abstentionsOn('uid-a')).toEqual([]);
  });

  test('is asked at once when the engines are others now', async () => {
    const { clock, asks, reconciler } = start(() => abstains('no rule'));
    await clock.advance(40_000);
    reconciler.askAnew();
    await clock.advance(2_000);
    expect(asks.slice(-2)).toEqual(['40 a', '41 a']);
  });

  test('under a name that is not configured is not asked at all', async () => {
    const { clock, asks, engines, reconciler } = start(() => approves);
    engines.clear();
    await clock.advance(100);
    expect(asks).toEqual([]);
    expect(reconciler.abstentionsOn('uid-a')).toEqual([
      { name: 'opa', abstained: 'no engine with this name is configured' },
    ]);
  });
});

describe('an engine is told whether the target has changed since', () => {
  const askedWith = async (look: () => Promise<Seen>) => {
    const changed: unknown[] = [];
    const { clock } = start(
      ({ change }) => {
        changed.push(change.targetChangedSinceAsked);
        return approves;
      },
      ['a'],
      look,
    );
    await clock.advance(100);
    return changed;
  };
  const state = (generation: number): Seen => ({ kind: 'State', object: deployment('x', generation), isNext: false });

  test.each<[string, unknown, () => Promise<Seen>]>([
    ['it has not', false, async () => state(1)],
    ['it has', true, async () => state(2)],
    ['it may not be read', 'unknown', async () => ({ kind: 'Nothing' })],
    ['it cannot be read', 'unknown', () => Promise.reject(new Error('no answer'))],
  ])('%s', async (_, want, look) => {
    expect(await askedWith(look)).toEqual([want]);
  });
});

describe('an engine that decides', () => {
  test('is recorded by our own identity, about this very approval and digest', async () => {
    const { clock, created, stored } = start(() => approves);
    await clock.advance(100);
    const digest = stored[0]?.spec.change?.digest;
    expect(created).toEqual([
      {
        metadata: {
          generateName: 'a-',
          namespace: 'prod',
          labels: { 'stepup.dev/approval': 'uid-a' },
          ownerReferences: [{ apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpApproval', name: 'a', uid: 'uid-a' }],
        },
        spec: {
          approval: { name: 'a', uid: 'uid-a', digest },
          verdict: 'Approve',
          reason: 'fine',
          kind: 'Engine',
          engine: { name: 'opa', rule: 'r1' },
          decidedBy: { username: 'stepup' },
          decidedAt: '2026-01-01T12:00:00.000Z',
          seal: 'seal',
        },
      },
    ]);
  });

  test('is not asked again while its decision is on its way, and is when it was taken away', async () => {
    const { clock, asks } = start(() => approves);
    await clock.advance(59_000);
    expect(asks).toEqual(['0 a']);
    await clock.advance(2_000);
    expect(asks).toEqual(['0 a', '60 a']);
  });
});

test('at most four questions to one engine are open at a time', async () => {
  const { promise, resolve } = Promise.withResolvers<AskResult>();
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const { clock, asks } = start(() => promise, names);
  await clock.advance(1_000);
  expect(asks).toHaveLength(4);
  resolve(approves);
  await clock.advance(1_000);
  expect(asks.map((line) => line.split(' ')[1]).sort()).toEqual(names);
});
