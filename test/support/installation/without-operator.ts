// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Takes the Lease away from every replica for a while, so that the webhook works and the operator does not.
import { eventually } from '../eventually.ts';
import { type Installation, systemNamespace } from './installation.ts';
import { counted } from './metrics.ts';

const path = `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/stepup`;

interface Lease {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly holderIdentity?: string };
}

/** Runs work while no replica leads; afterwards one leads again. */
export async function withoutOperator(stepup: Installation, work: () => Promise<void>): Promise<void> {
  await hold(stepup, 'test', 3600);
  await eventually('the operator to step down', async () => (await counted(stepup, 'stepup_leader')) === 0);
  try {
    await work();
  } finally {
    await freeLease(stepup);
    await eventually('an operator to lead', async () => (await counted(stepup, 'stepup_leader')) === 1);
  }
}

/** Takes the Lease from whoever holds it: the next one who asks gets it, at once. */
export function freeLease(stepup: Installation): Promise<void> {
  return hold(stepup, '', 1);
}

async function hold(stepup: Installation, holderIdentity: string, leaseDurationSeconds: number): Promise<void> {
  const renewTime = new Date().toISOString().replace('Z', '000Z');
  await eventually('the Lease to be written', async () => {
    const lease = await stepup.cluster.admin.get<Lease>(path);
    const spec = { ...lease.spec, holderIdentity, leaseDurationSeconds, renewTime };
    const answer = await stepup.cluster.admin.send('PUT', path, { body: { ...lease, spec } });
    return answer.code === 200;
  });
}
