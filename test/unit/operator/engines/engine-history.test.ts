// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which history an engine is told: that of the target which the approval names, whatever labels say.
import { expect, test } from 'vitest';
import type { StepUpApproval, StepUpPolicy } from '../../../../src/api/kinds.ts';
import { targetLabelOf } from '../../../../src/domain/change/attempt.ts';
import type { EngineReview } from '../../../../src/domain/engines/engine-review.ts';
import { targetLabel } from '../../../../src/domain/model/labels.ts';
import { EngineReconciler, type EngineReconcilerOptions } from '../../../../src/operator/engines/engine-reconciler.ts';
import { approval, policy, request } from '../../../support/builders/domain.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';
import { trusted } from '../../../support/seals.ts';

const under = policy({ approval: { require: [{ name: 'rules', engine: 'opa' }] } });

function stored(name: string, target: string, status: object): StepUpApproval {
  const { metadata, spec } = approval(request({ name: target }), under, { name, uid: `uid-${name}` });
  return {
    metadata: { ...metadata, labels: { [targetLabel]: 'of-another' } },
    spec,
    status,
  } as unknown as StepUpApproval;
}

test('labels that somebody has put on approvals change nothing of what an engine is told', async () => {
  const uses = [{ attemptKey: 'k', digest: 'd', base: { kind: 'Request' }, reservedAt: '2026-01-01T11:00:00Z' }];
  const before = { phase: 'Consumed', uses };
  const asked = stored('asked', 'web', {});
  const selectors: unknown[] = [];
  const told: EngineReview['history'][] = [];
  const stop = new AbortController();
  const clock = fakeClock(new Date('2026-01-01T12:00:00Z'));
  const watched = (name: string, object: object) => ({
    objects: { get: (key: { name: string }) => (key.name === name ? object : undefined), values: () => [object] },
    synced: Promise.resolve(),
    onChange: () => undefined,
  });
  const options = {
    engines: () => new Map([['opa', {}]]),
    ask: async (_: unknown, { history }: EngineReview) => {
      told.push(history);
      return { result: 'Abstain', answer: { verdict: 'Abstain', why: 'no rule' } };
    },
    approvalClient: {
      list: async ({ namespace, labelSelector }: { namespace: string; labelSelector: string }) => {
        selectors.push(labelSelector);
        return { items: namespace === 'prod' ? [stored('other', 'db', before), stored('own', 'web', before)] : [] };
      },
    },
    targets: { look: async () => ({ kind: 'Nothing' }) },
    sealing: trusted,
    own: { username: 'stepup', namespace: 'stepup-system' },
    policies: watched(under.metadata.name, under as unknown as StepUpPolicy),
    approvals: watched('asked', asked),
    decisionsOn: () => [],
    onAbstained: () => undefined,
    events: { emit: () => undefined },
    metrics: { engineAnswered: () => undefined },
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    clock,
  };
  void new EngineReconciler(options as unknown as EngineReconcilerOptions).run(stop.signal);
  await clock.advance(10);
  stop.abort();
  expect(told[0]?.uses.map((use) => use.approval)).toEqual(['own']);
  expect(new Set(selectors)).toEqual(new Set([`${targetLabel}=${targetLabelOf(asked.spec)}`]));
});
