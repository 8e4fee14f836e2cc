// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Uninstalling: nothing governs any more, whoever leads, and nothing of others is touched.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpPolicy } from '../../../src/api/kinds.ts';
import { LeaderElector, type Lease } from '../../../src/kube/objects/lease.ts';
import type { NewObject } from '../../../src/kube/objects/objects.ts';
import { ResourceClient } from '../../../src/kube/objects/resource-client.ts';
import * as resources from '../../../src/kube/objects/resources.ts';
import { systemClock } from '../../../src/kube/time/clock.ts';
import type { WebhookConfiguration } from '../../../src/operator/admission/webhook-configuration.ts';
import { uninstall } from '../../../src/operator/removal.ts';
import { eventually } from '../../support/eventually.ts';
import { startOperator } from '../../support/running-operator.ts';
import { isGone, type OperatorLab, policySpec, startOperatorLab } from './operator-lab.ts';

let lab: OperatorLab;

beforeAll(async () => {
  lab = await startOperatorLab();
}, 600_000);

afterAll(() => lab?.stop(), 30_000);

describe('uninstalling', () => {
  const lease = { namespace: 'stepup-system', name: 'stepup' };
  const service = { namespace: 'stepup-system', name: 'stepup' };
  const keptSecrets = ['stepup-tls', 'stepup-keys'].map((name) => ({ namespace: 'stepup-system', name }));

  const uninstallWith = (log: ReturnType<typeof linesOf>['log']) =>
    uninstall({ rest: lab.rest, lease, service, keptSecrets, log, clock: systemClock }, AbortSignal.timeout(20_000));

  test('takes the Lease from a leader that would restore everything', async () => {
    await lab.operator.stop();
    await lab.createPolicy(policySpec());
    const stop = new AbortController();
    const elector = new LeaderElector({
      leases: new ResourceClient<Lease>(lab.rest, resources.leases),
      lease,
      identity: 'pod-1',
    });
    const leading = elector.run(stop.signal, async (signal) => {
      const leader = startOperator(lab.rest);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await leader.stop();
    });
    await eventually('the leader to put gates in place', async () => (await lab.managed()).length > 1);
    const { log } = linesOf();
    await uninstallWith(log);
    expect(await lab.managed()).toEqual([]);
    expect(elector.isLeader).toBe(false);
    stop.abort();
    await leading;
  }, 30_000);

  test('leaves no webhook configuration and no pack, again and again', async () => {
    await lab.operator.stop();
    await lab.createPolicy(policySpec());
    const pack = lab.freshName('pack');
    await lab.policies.create({
      metadata: { name: pack, labels: { 'stepup.dev/pack': pack } },
      spec: policySpec() as StepUpPolicy['spec'],
    });
    const { lines, log } = linesOf();
    for (let round = 0; round < 2; round++) {
      await uninstallWith(log);
    }
    expect(await lab.managed()).toEqual([]);
    expect(await isGone(lab.policies.get({ name: pack }))).toBe(true);
    for (const secret of keptSecrets) expect(await isGone(lab.secrets.get(secret))).toBe(true);
    expect(lines.at(-1)).toBe('stepup no longer governs anything {}');
  });

  test('leaves nothing that calls the Service, label or not, and nothing of others is touched', async () => {
    await lab.operator.stop();
    const calling = (name: string) => ({
      metadata: { name: lab.freshName(name) },
      webhooks: [
        {
          name: 'action.example.test',
          admissionReviewVersions: ['v1'],
          clientConfig: { service: { namespace: 'stepup-system', name, path: '/', port: 443 } },
          sideEffects: 'None',
          rules: [{ apiGroups: ['example.test'], apiVersions: ['*'], operations: ['*'], resources: ['things'] }],
        },
      ],
    });
    const stored = await Promise.all(
      ['stepup', 'other'].map((name) =>
        lab.validatingConfigurations.create(calling(name) as unknown as NewObject<WebhookConfiguration>),
      ),
    );
    const { log } = linesOf();
    await uninstallWith(log);
    const gone = await Promise.all(
      stored.map(({ metadata }) => isGone(lab.validatingConfigurations.get({ name: metadata.name }))),
    );
    expect(gone).toEqual([true, false]);
  });

  test('gives the Lease to the RoleBinding of its name; without one it deletes a Lease that nobody held', async () => {
    const leases = new ResourceClient<Lease>(lab.rest, resources.leases);
    const { log } = linesOf();
    const run = async (holderIdentity: string) => {
      const { spec, ...others } = await leases.get(lease).catch(() => leases.create({ metadata: lease, spec: {} }));
      await leases.replace({ ...others, spec: { ...spec, holderIdentity } });
      await uninstallWith(log);
    };
    await run('pod-1');
    expect((await leases.get(lease)).metadata.ownerReferences).toBeUndefined();
    await run('');
    expect(await isGone(leases.get(lease))).toBe(true);
    const made = await lab.plane.admin.post(
      '/apis/rbac.authorization.k8s.io/v1/namespaces/stepup-system/rolebindings',
      {
        metadata: { name: lease.name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: lease.name },
      },
    );
    await run('');
    const { ownerReferences } = (await leases.get(lease)).metadata;
    expect(ownerReferences).toMatchObject([{ kind: 'RoleBinding', name: lease.name, uid: made.metadata.uid }]);
  });
});

function linesOf() {
  const lines: string[] = [];
  const write = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { lines, log: { debug: write, info: write, warn: write, error: write } };
}
