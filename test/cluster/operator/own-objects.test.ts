// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What stepup keeps for itself: the webhook configuration of its own kinds and its certificates, made anew when they are gone.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type OperatorLab, policySpec, startOperatorLab } from './operator-lab.ts';

let lab: OperatorLab;

beforeAll(async () => {
  lab = await startOperatorLab();
}, 600_000);

afterAll(() => lab?.stop(), 30_000);

describe('the entry of our own kinds', () => {
  test('comes back when it is edited or deleted', async () => {
    const key = { name: 'stepup-stamp' };
    const before = await lab.mutatingConfigurations.get(key);
    const isBack = async () => {
      expect((await lab.mutatingConfigurations.get(key)).webhooks).toEqual(before.webhooks);
      return true;
    };
    await lab.mutatingConfigurations.mergePatch(key, { webhooks: [] });
    await eventually('it to be restored', isBack);
    await lab.mutatingConfigurations.delete(key);
    await eventually('it to be made again', isBack);
  });
});

describe('certificates', () => {
  test('are made anew when their Secret is deleted, and trusted everywhere before they serve', async () => {
    const { name } = (await lab.createPolicy(policySpec())).metadata;
    await lab.reported(name);
    const key = { namespace: 'stepup-system', name: 'stepup-tls' };
    const before = await lab.secrets.get(key);
    await lab.secrets.delete(key);
    const after = await eventually('a new leaf', async () => {
      const secret = await lab.secrets.get(key);
      return secret.data?.['tls.crt'] !== before.data?.['tls.crt'] ? secret : undefined;
    });
    expect(after.type).toBe('kubernetes.io/tls');
    expect(Object.keys(after.data ?? {}).sort()).toEqual(['ca.crt', 'ca.key', 'tls.crt', 'tls.key']);
    const bundle = after.data?.['ca.crt'] ?? '';
    // The old authority still vouches for what other replicas serve.
    expect(Buffer.from(bundle, 'base64').toString()).toContain(
      Buffer.from(before.data?.['ca.crt'] ?? '', 'base64').toString(),
    );
    for (const configuration of [
      await lab.validatingConfigurations.get({ name: `stepup-${name}` }),
      await lab.mutatingConfigurations.get({ name: 'stepup-stamp' }),
    ]) {
      expect(configuration.webhooks?.map(({ clientConfig }) => clientConfig.caBundle)).toEqual(
        configuration.webhooks?.map(() => bundle),
      );
    }
  });
});
