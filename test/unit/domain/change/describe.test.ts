// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A request is described once under each policy, and under each policy by itself.
import { expect, test } from 'vitest';
import { describer } from '../../../../src/domain/change/describe.ts';
import { deployment, policy, request } from '../../../support/builders/domain.ts';

const changed = request({ oldObject: deployment('web:1', 1), object: deployment('web:2', 2) });

test('the description is made once under a policy and handed on', () => {
  const describeUnder = describer(changed);
  const under = policy();
  const first = describeUnder(under, []);
  expect(first.kind).toBe('Privileged');
  expect(describeUnder(under, [])).toBe(first);
});

test('another policy has a description of its own, and so has another request', () => {
  const describeUnder = describer(changed);
  const under = policy();
  const first = describeUnder(under, []);
  const replicasOnly = policy({
    actions: [{ operations: ['UPDATE'], apiGroups: ['apps'], resources: ['deployments'], fields: ['/spec/replicas'] }],
  });
  expect(describeUnder(replicasOnly, [])).toEqual({ kind: 'NotGoverned', reason: 'OutsideFields' });
  expect(describer(changed)(under, [])).not.toBe(first);
});
