// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Packs: ready-made policies that a ConfigMap switches on, and that never take over anybody else's.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { isGone, type OperatorLab, policySpec, readyOf, startOperatorLab } from './operator-lab.ts';

let lab: OperatorLab;

beforeAll(async () => {
  lab = await startOperatorLab();
}, 600_000);

afterAll(() => lab?.stop(), 30_000);

describe('packs', () => {
  const key = { namespace: 'stepup-system', name: 'stepup-packs' };
  const manifest = (name: string, spec: object) =>
    JSON.stringify({ apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpPolicy', metadata: { name }, spec });

  test('are applied, put back when edited or deleted, and removed when switched off', async () => {
    const [one, two] = [lab.freshName('pack'), lab.freshName('pack')];
    const spec = policySpec();
    const data = { [`${one}.yaml`]: manifest(one, spec), [`${two}.yaml`]: manifest(two, spec), 'bad.yaml': 'a: [' };
    await lab.configMaps.create({ metadata: key, data });
    const applied = await lab.reported(one);
    expect(readyOf(await lab.reported(two))?.status).toBe('True');
    expect(applied.metadata.labels).toEqual({ 'stepup.dev/pack': one });
    expect(lab.operator.logs.some((line) => line.includes('a pack cannot be applied'))).toBe(true);

    const isPutBack = async () => {
      const { spec: now, metadata } = await lab.policies.get({ name: one });
      expect(now).toEqual(applied.spec);
      expect(metadata.labels).toEqual({ 'stepup.dev/pack': one });
      return true;
    };
    await lab.policies.mergePatch({ name: one }, { spec: { failurePolicy: 'Ignore', grant: { ttlSeconds: 7 } } });
    await eventually('the edits to be put back', isPutBack);
    // Something the pack says nothing about.
    const exclude = [{ kind: 'User', name: 'mallory' }];
    await lab.policies.mergePatch({ name: one }, { spec: { subjects: { exclude } } });
    await eventually('the addition to be put back', isPutBack);
    await lab.policies.mergePatch({ name: one }, { metadata: { labels: null } });
    await eventually('the label to be put back', isPutBack);
    await lab.policies.delete({ name: one });
    await eventually('the policy to be made again', isPutBack);

    const stored = await lab.configMaps.get(key);
    const { [`${two}.yaml`]: _, ...rest } = data;
    await lab.configMaps.replace({ ...stored, data: rest });
    await eventually('the pack to be removed', () => isGone(lab.policies.get({ name: two })));
    await lab.configMaps.delete(key);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await isPutBack()).toBe(true);
  });

  test('never take over a policy that somebody wrote', async () => {
    const name = lab.freshName('mine');
    await lab.createPolicy(policySpec({ grant: { ttlSeconds: 5 } }), name);
    await lab.configMaps.delete(key).catch(() => undefined);
    await lab.configMaps.create({ metadata: key, data: { [`${name}.yaml`]: manifest(name, policySpec()) } });
    await eventually('the complaint', () => lab.operator.logs.some((line) => line.includes('not from a pack')));
    expect((await lab.policies.get({ name })).spec.grant?.ttlSeconds).toBe(5);
    await lab.configMaps.delete(key);
  });
});
