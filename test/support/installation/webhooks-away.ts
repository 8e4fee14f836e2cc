// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Takes stepup's webhooks away for a while, as an admin may, with nobody to put them back.
import { eventually } from '../eventually.ts';
import { type Actors, approvalsIn, byHand, configMaps } from './actors.ts';
import type { Installation } from './installation.ts';
import { withoutOperator } from './without-operator.ts';

const group = '/apis/admissionregistration.k8s.io/v1';
const kinds = [`${group}/validatingwebhookconfigurations`, `${group}/mutatingwebhookconfigurations`];

/** Runs work while no webhook of stepup is called; afterwards all are again, the gate of the policy among them. */
export async function whileWebhooksAreAway(
  stepup: Installation,
  actors: Actors,
  policy: string,
  work: () => Promise<void>,
): Promise<void> {
  await withoutOperator(stepup, async () => {
    for (const kind of kinds) {
      const { items } = await stepup.cluster.admin.list(kind);
      for (const { metadata } of items) {
        if (metadata.name.startsWith('stepup-')) await stepup.cluster.admin.delete(`${kind}/${metadata.name}`);
      }
    }
    await eventually('no webhook to be called', async () => !(await isStamped()) && !(await isGated()), {
      timeoutMs: 20_000,
    });
    await work();
  });
  await eventually('the webhooks to be called again', async () => (await isStamped()) && (await isGated()), {
    timeoutMs: 30_000,
  });

  // Dry runs, which leave nothing behind.
  async function isStamped(): Promise<boolean> {
    const probe = byHand(policy, { operation: 'UPDATE', namespace: 'prod', name: 'probe' });
    const { message } = await actors.send('admin', 'POST', `${approvalsIn('prod')}?dryRun=All`, probe);
    return /is not an approver|binds approvals/.test(message);
  }

  async function isGated(): Promise<boolean> {
    const answer = await stepup.cluster.admin.send('POST', `${configMaps('prod')}?dryRun=All`, {
      body: { metadata: { name: 'gate-probe' } },
      headers: {
        'impersonate-user': 'system:serviceaccount:ci:deployer',
        'impersonate-group': 'system:serviceaccounts',
      },
    });
    return String(answer.headers.warning ?? '').includes('stepup');
  }
}
