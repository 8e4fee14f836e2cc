// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Somebody else's webhook that refuses what ours admits: asked in parallel, so a use is reserved and nothing happens.
import { eventually } from '../eventually.ts';
import { type Actors, configMaps } from './actors.ts';

const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

/** Refuses every write of ConfigMaps in the namespace whose names begin like this, while work runs. */
export async function whileBlocked<T>(
  actors: Actors,
  { namespace, prefix }: { readonly namespace: string; readonly prefix: string },
  work: () => Promise<T>,
): Promise<T> {
  const name = `blocks-${prefix}`;
  await actors.do('admin', 'POST', path, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: 'nobody.example.com',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
        timeoutSeconds: 1,
        // Nobody listens there.
        clientConfig: { url: 'https://127.0.0.1:1/' },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['*'], resources: ['configmaps'] }],
        matchConditions: [{ name: 'prefix', expression: `request.name.startsWith('${prefix}')` }],
      },
    ],
  });
  const probe = { metadata: { name: `${prefix}-probe` } };
  const isBlocked = async () => {
    const { message } = await actors.send('admin', 'POST', `${configMaps(namespace)}?dryRun=All`, probe);
    return message.includes('nobody.example.com');
  };
  await eventually('the other webhook to refuse', isBlocked, { timeoutMs: 20_000 });
  try {
    return await work();
  } finally {
    await actors.do('admin', 'DELETE', `${path}/${name}`);
    await eventually('the other webhook to be gone', async () => !(await isBlocked()), { timeoutMs: 20_000 });
  }
}
