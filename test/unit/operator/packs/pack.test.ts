// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which packs are applied, which left alone, which policies removed.
import { describe, expect, test } from 'vitest';
import type { StepUpPolicy } from '../../../../src/api/kinds.ts';
import { type Applied, type Pack, packChanges, packText, readPacks } from '../../../../src/operator/packs/pack.ts';

const manifest = (name: string, more = '') =>
  `apiVersion: stepup.dev/v1alpha1\nkind: StepUpPolicy\nmetadata: { name: ${name} }\nspec: { actions: [], approval: {} }\n${more}`;

describe('reading', () => {
  test.each([
    { given: 'a manifest', data: { 'a.yaml': manifest('a') }, packs: ['a'], problems: [] },
    {
      given: 'a key that names another policy',
      data: { 'b.yaml': manifest('a') },
      packs: [],
      problems: ['b: its metadata.name is not b, as its key says'],
    },
    {
      given: 'another kind',
      data: { 'a.yaml': 'apiVersion: v1\nkind: Pod' },
      packs: [],
      problems: ['a: is a v1 Pod, not a stepup.dev/v1alpha1 StepUpPolicy'],
    },
    { given: 'no object', data: { 'a.yaml': '- 1' }, packs: [], problems: ['a: is not an object'] },
    {
      given: 'a bad one beside a good one',
      data: { 'z.yaml': manifest('z'), 'a.yaml': '' },
      packs: ['z'],
      problems: [expect.stringMatching(/^a: /)],
    },
  ])('$given', ({ data, packs, problems }) => {
    const read = readPacks(data as unknown as Record<string, string>);
    expect(read.packs.map(({ name }) => name)).toEqual(packs);
    expect(read.problems.map(({ pack, message }) => `${pack}: ${message}`)).toEqual(problems);
  });
});

describe('changes', () => {
  const pack: Pack = { name: 'a', spec: { actions: [] } as unknown as Pack['spec'], labels: {}, annotations: {} };
  const applied: Applied = { text: packText(pack), uid: 'uid', generation: 1 };

  function policy(metadata: Partial<StepUpPolicy['metadata']>): StepUpPolicy {
    return {
      apiVersion: 'stepup.dev/v1alpha1',
      kind: 'StepUpPolicy',
      metadata: {
        name: 'a',
        uid: 'uid',
        generation: 1,
        resourceVersion: '1',
        creationTimestamp: '',
        labels: { 'stepup.dev/pack': 'a' },
        ...metadata,
      },
      spec: pack.spec,
    };
  }

  test.each<{
    given: string;
    policies: readonly StepUpPolicy[];
    packs?: readonly Pack[];
    known?: Applied;
    kept?: string;
    want: string;
  }>([
    { given: 'nothing there', policies: [], want: 'apply a' },
    { given: 'as it was applied', policies: [policy({})], known: applied, want: '' },
    { given: 'there, but not seen by this leader', policies: [policy({})], want: 'apply a' },
    { given: 'edited', policies: [policy({ generation: 2 })], known: applied, want: 'apply a' },
    { given: 'made anew by somebody', policies: [policy({ uid: 'other' })], known: applied, want: 'apply a' },
    { given: 'without its label', policies: [policy({ labels: {} })], known: applied, want: 'apply a' },
    { given: 'applied from another text', policies: [policy({})], known: { ...applied, text: '' }, want: 'apply a' },
    { given: 'switched off', policies: [policy({})], packs: [], want: 'remove a' },
    { given: 'in the ConfigMap, but unreadable', policies: [policy({})], packs: [], kept: 'a', want: '' },
    { given: "somebody's own policy", policies: [policy({ labels: {} })], packs: [], want: '' },
  ])('$given', ({ policies, packs = [pack], known, kept, want }) => {
    const map = new Map(known === undefined ? [] : [['a', known]]);
    const changes = packChanges(packs, policies, map, new Set(kept === undefined ? [] : [kept]));
    const text = [
      ...changes.apply.map(({ name }) => `apply ${name}`),
      ...changes.remove.map(({ metadata }) => `remove ${metadata.name}`),
    ].join(', ');
    expect(text).toBe(want);
  });
});
