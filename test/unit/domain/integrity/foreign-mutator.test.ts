// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Who may change a vote before it reaches us, and who may not.
import { describe, expect, test } from 'vitest';
import { foreignMutator, type Mutator, type MutatorRule } from '../../../../src/domain/integrity/foreign-mutator.ts';

const policy = (rule: MutatorRule, over: Partial<Mutator> = {}): Mutator => ({
  kind: 'MutatingAdmissionPolicy',
  name: 'swap',
  isOurs: false,
  rules: [{ apiGroups: ['stepup.dev'], operations: ['CREATE'], resources: ['stepupdecisions'], ...rule }],
  ...over,
});

describe('what reaches us', () => {
  test.each<[string, MutatorRule]>([
    ['our decisions', {}],
    ['our approvals', { resources: ['stepupapprovals'] }],
    ['every resource of our group', { resources: ['*'] }],
    ['every resource and subresource', { resources: ['*/*'] }],
    ['every group', { apiGroups: ['*'] }],
    ['every operation', { operations: ['*'] }],
    ['one of several', { apiGroups: ['apps', 'stepup.dev'], operations: ['UPDATE', 'CREATE'] }],
  ])('%s', (_, rule) => expect(foreignMutator([policy(rule)], [])?.name).toBe('swap'));

  test('whatever has no rules that say otherwise', () => {
    const { rules: _, ...unsaid } = policy({});
    expect(foreignMutator([unsaid], [])?.name).toBe('swap');
    expect(foreignMutator([policy({}, { rules: [{}] })], [])?.name).toBe('swap');
  });
});

describe('what does not', () => {
  test.each<[string, MutatorRule]>([
    ['another group', { apiGroups: ['apps'] }],
    ['policies, which nobody votes with', { resources: ['stepuppolicies'] }],
    ['updates, for what we stamp is immutable', { operations: ['UPDATE'] }],
  ])('%s', (_, rule) => expect(foreignMutator([policy(rule)], [])).toBeUndefined());

  test('ours, and what is trusted by its very name', () => {
    expect(foreignMutator([policy({}, { isOurs: true })], [])).toBeUndefined();
    expect(foreignMutator([policy({})], ['swap'])).toBeUndefined();
    expect(foreignMutator([policy({})], ['swap-2'])?.name).toBe('swap');
    expect(foreignMutator([policy({}, { rules: [] })], [])).toBeUndefined();
  });
});
