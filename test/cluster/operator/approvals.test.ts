// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Approvals on a real API server: their phases, their end, and how a reservation is settled by what its target shows.
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpApproval, StepUpDecision } from '../../../src/api/kinds.ts';
import { stepUpApprovals, stepUpDecisions } from '../../../src/api/own-resources.ts';
import { effectOf } from '../../../src/domain/change/content.ts';
import type { Use } from '../../../src/domain/model/approval.ts';
import type { JsonObject } from '../../../src/lib/json.ts';
import { eventually } from '../../support/eventually.ts';
import { isGone, type OperatorLab, policySpec, startOperatorLab } from './operator-lab.ts';

let lab: OperatorLab;

beforeAll(async () => {
  lab = await startOperatorLab();
}, 600_000);

afterAll(() => lab?.stop(), 30_000);

describe('an approval', () => {
  test('gets its phase, columns and the decision that approves it; nobody decides, so it times out', async () => {
    const { name: policy } = (await lab.createPolicy(policySpec({ request: { pendingTTLSeconds: 2 } }))).metadata;
    const namespace = await lab.freshNamespace();
    const approval = await createApproval(policy, { namespace, resource: 'deployments', group: 'apps', name: 'web' });
    const pending = await phaseOf(approval, 'Pending');
    expect(pending.status).toMatchObject({
      votes: '0/1',
      missing: '1 of 1 approval by group approvers',
      summary: { requester: 'ci/deployer', action: 'UPDATE deployments web' },
    });
    expect(JSON.parse(pending.status?.approveWith ?? '')).toMatchObject({
      kind: 'StepUpDecision',
      spec: { approval: { name: approval.metadata.name, uid: approval.metadata.uid }, verdict: 'Approve' },
    });
    const ended = await phaseOf(approval, 'TimedOut');
    const lateMs = Date.parse(ended.status?.endedAt ?? '') - Date.parse(approval.metadata.creationTimestamp) - 2000;
    expect(lateMs).toBeGreaterThanOrEqual(0);
    expect(lateMs).toBeLessThan(1000);
    // Created, Pending, TimedOut.
    expect(await writesOf(approval)).toBe(3);
  });

  test('that is approved and not used expires at its instant', async () => {
    const { name: policy } = (await lab.createPolicy(policySpec({ grant: { ttlSeconds: 2 } }))).metadata;
    const namespace = await lab.freshNamespace();
    const approval = await createApproval(policy, { namespace, resource: 'deployments', group: 'apps', name: 'web' });
    await approve(approval);
    const approved = await phaseOf(approval, 'Approved');
    expect(approved.status).toMatchObject({ votes: '1/1', decisions: [{ decidedBy: 'ann', counted: true }] });
    const ended = await phaseOf(approval, 'Expired');
    expect(Date.parse(ended.status?.endedAt ?? '')).toBeGreaterThanOrEqual(
      Date.parse(approved.status?.usableUntil ?? ''),
    );
    expect(await writesOf(approval)).toBeLessThanOrEqual(4);
  });

  test('is removed when its time of keeping is over', async () => {
    await lab.operator.stop();
    lab.startOperator({ retentionSeconds: 2 });
    const { name: policy } = (await lab.createPolicy(policySpec({ request: { pendingTTLSeconds: 1 } }))).metadata;
    const namespace = await lab.freshNamespace();
    const approval = await createApproval(policy, { namespace, resource: 'deployments', group: 'apps', name: 'web' });
    await phaseOf(approval, 'TimedOut');
    await eventually('it to be removed', () => isGone(lab.approvals.get(approval.metadata)));
    await lab.operator.stop();
    lab.startOperator();
  });
});

describe('a reservation', () => {
  const short = { grant: { ttlSeconds: 600 } };

  test('of an UPDATE whose effect is the next generation is Consumed, Observed', async () => {
    const { approval, deployment, next } = await reservedUpdate(short);
    await lab.deployments.mergePatch(deployment.metadata, next);
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
    // Created, Pending, Approved, reserved, Consumed.
    expect(await writesOf(approval)).toBeLessThanOrEqual(5);
  });

  test('of an UPDATE that lost to another write is released', async () => {
    const { approval, deployment } = await reservedUpdate(short);
    await lab.deployments.mergePatch(deployment.metadata, { metadata: { labels: { harmless: 'yes' } } });
    await lab.deployments.mergePatch(deployment.metadata, { spec: { replicas: 7 } });
    const released = await phaseOf(approval, 'Approved');
    expect(released.status?.releases).toMatchObject([{ use: 0 }]);
  });

  test('of an UPDATE is told by the first later state, though more follow at once', async () => {
    const { approval, deployment, next } = await reservedUpdate(short);
    // Nobody looks while it happens: the next leader finds the reservation and starts where it was made.
    await lab.operator.stop();
    await lab.deployments.mergePatch(deployment.metadata, next);
    await lab.deployments.mergePatch(deployment.metadata, { spec: { replicas: 9 } });
    await lab.deployments.delete(deployment.metadata);
    lab.startOperator();
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
  });

  test('of an UPDATE on a resourceVersion is told by the next one', async () => {
    const { name: policy } = (await lab.createPolicy(policySpec(short))).metadata;
    const namespace = await lab.freshNamespace();
    const old = await lab.configMaps.create({ metadata: { namespace, name: 'settings' }, data: { a: '1' } });
    const content = { kind: 'Fields', pointers: ['/data'] } as const;
    const effect = effectOf(json(old), json({ ...old, data: { a: '2' } }), content);
    const reserve = async () => {
      const approval = await createApproval(policy, { namespace, resource: 'configmaps', name: 'settings' });
      const { uid, resourceVersion } = (await lab.configMaps.get(old.metadata)).metadata;
      return reserved(approval, {
        base: { kind: 'ResourceVersion', uid, resourceVersion },
        effect,
        oldResourceVersion: resourceVersion,
      });
    };
    const lost = await reserve();
    await lab.configMaps.mergePatch(old.metadata, { metadata: { labels: { other: 'write' } } });
    expect((await phaseOf(lost, 'Approved')).status?.releases).toHaveLength(1);
    const won = await reserve();
    await lab.configMaps.mergePatch(old.metadata, { data: { a: '2' } });
    expect((await phaseOf(won, 'Consumed')).status?.evidence).toBe('Observed');
  });

  test('of a DELETE is Consumed once the object is gone', async () => {
    const { name: policy } = (await lab.createPolicy(policySpec(short))).metadata;
    const namespace = await lab.freshNamespace();
    const { metadata } = await lab.configMaps.create({ metadata: { namespace, name: 'old' } });
    const approval = await createApproval(policy, {
      operation: 'DELETE',
      namespace,
      resource: 'configmaps',
      name: 'old',
    });
    await reserved(approval, {
      base: { kind: 'Deletion', uid: metadata.uid },
      oldResourceVersion: metadata.resourceVersion,
    });
    await lab.configMaps.mergePatch(metadata, { data: { not: 'yet' } });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await lab.approvals.get(approval.metadata)).status?.phase).toBe('Reserved');
    await lab.configMaps.delete(metadata);
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
  });

  test('of a CREATE is Consumed once the recorded UID is seen', async () => {
    const { name: policy } = (await lab.createPolicy(policySpec(short))).metadata;
    const namespace = await lab.freshNamespace();
    const action = { operation: 'CREATE', namespace, resource: 'configmaps', name: 'new' } as const;
    const other = await reserved(await createApproval(policy, action), { base: { kind: 'Creation', uid: 'another' } });
    const { metadata } = await lab.configMaps.create({ metadata: { namespace, name: 'new' } });
    const approval = await reserved(await createApproval(policy, action), {
      base: { kind: 'Creation', uid: metadata.uid },
    });
    expect((await phaseOf(approval, 'Consumed')).status?.evidence).toBe('Observed');
    expect((await lab.approvals.get(other.metadata)).status?.phase).toBe('Reserved');
  });

  test('of a kind that may not be read stays to the end and is Unconfirmed then', async () => {
    const { name: policy } = (await lab.createPolicy(policySpec({ grant: { ttlSeconds: 1 } }))).metadata;
    const namespace = await lab.freshNamespace();
    const approval = await createApproval(policy, {
      operation: 'DELETE',
      namespace,
      resource: 'secrets',
      name: 'gone',
    });
    await reserved(approval, { base: { kind: 'Deletion', uid: 'some' } });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await lab.approvals.get(approval.metadata)).status?.phase).toBe('Reserved');
    // The window, and the API server's cap on a request.
    const ended = await phaseOf(approval, 'Consumed', 45_000);
    expect(ended.status?.evidence).toBe('Unconfirmed');
  }, 60_000);
});

function json(object: object): JsonObject {
  return JSON.parse(JSON.stringify(object));
}

type Target = Partial<StepUpApproval['spec']['action']> & { readonly namespace: string };

/** Made as our own identity makes them: by impersonation, since nobody answers /stamp here. */
async function createApproval(policy: string, target: Target): Promise<StepUpApproval> {
  const action = { operation: 'UPDATE', group: '', version: 'v1', ...target };
  const requester = { username: 'system:serviceaccount:ci:deployer' };
  const metadata = { namespace: target.namespace, name: lab.freshName('approval') };
  const spec = { policy: { name: policy }, requester, action, change: {}, origin: 'Asked' };
  return asOperator<StepUpApproval>(stepUpApprovals.plural, metadata.namespace, { metadata, spec });
}

async function approve({ metadata }: StepUpApproval): Promise<void> {
  const approval = { name: metadata.name, uid: metadata.uid };
  await asOperator<StepUpDecision>(stepUpDecisions.plural, metadata.namespace, {
    metadata: { namespace: metadata.namespace, name: lab.freshName('decision') },
    spec: {
      approval,
      verdict: 'Approve',
      decidedBy: { username: 'ann', groups: ['approvers'] },
      kind: 'Human',
      decidedAt: new Date().toISOString(),
    },
  });
}

async function asOperator<T>(plural: string, namespace: string, body: object): Promise<T> {
  const kind = plural === 'stepupapprovals' ? 'StepUpApproval' : 'StepUpDecision';
  const answer = await lab.plane.admin.send('POST', `/apis/stepup.dev/v1alpha1/namespaces/${namespace}/${plural}`, {
    headers: {
      'impersonate-user': 'system:serviceaccount:stepup-system:stepup',
      'impersonate-group': 'system:masters',
    },
    body: { apiVersion: 'stepup.dev/v1alpha1', kind, ...body },
  });
  expect(answer).toMatchObject({ code: 201 });
  return answer.body as T;
}

/** Approves, waits, and writes the use as the webhook would. */
async function reserved(approval: StepUpApproval, use: Omit<Use, 'attemptKey' | 'digest' | 'reservedAt'>) {
  await approve(approval);
  return eventually('the reservation', async () => {
    const current = await lab.approvals.get(approval.metadata);
    if (current.status?.phase !== 'Approved') return undefined;
    const uses = [{ attemptKey: 'key', digest: 'digest', reservedAt: new Date().toISOString(), ...use }];
    return lab.approvals.replaceStatus({ ...current, status: { ...current.status, phase: 'Reserved', uses } });
  });
}

async function reservedUpdate(spec: object) {
  const { name: policy } = (await lab.createPolicy(policySpec(spec))).metadata;
  const namespace = await lab.freshNamespace();
  const deployment = await lab.createDeployment(namespace);
  const { name, uid, generation = 0, resourceVersion } = deployment.metadata;
  const approval = await createApproval(policy, { namespace, group: 'apps', resource: 'deployments', name });
  const next = { spec: { template: { metadata: { annotations: { changed: 'yes' } } } } };
  const changed = await lab.deployments.mergePatch(deployment.metadata, next, { dryRun: true });
  const effect = effectOf(json(deployment), json(changed), { kind: 'Fields', pointers: ['/spec/template'] });
  await reserved(approval, {
    base: { kind: 'Generation', uid, generation },
    effect,
    oldResourceVersion: resourceVersion,
  });
  return { approval, deployment, next };
}

function phaseOf(approval: StepUpApproval, phase: string, timeoutMs = 15_000): Promise<StepUpApproval> {
  return eventually(
    `phase ${phase}`,
    async () => {
      const current = await lab.approvals.get(approval.metadata);
      if (current.status?.phase !== phase) throw new Error(`is ${JSON.stringify(current.status?.phase)}`);
      return current;
    },
    { timeoutMs },
  );
}

/** How often the object was written, by etcd's count of its versions: the audit log names each write. */
async function writesOf({ metadata }: StepUpApproval): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 300));
  const lines = (await readFile(lab.plane.auditLogs[0] ?? '', 'utf8')).trim().split('\n');
  const writes = lines
    .map((line) => JSON.parse(line))
    .filter(
      ({ objectRef, verb, stage, responseStatus }) =>
        stage === 'ResponseComplete' &&
        objectRef?.resource === 'stepupapprovals' &&
        objectRef?.name === metadata.name &&
        ['create', 'update', 'patch'].includes(verb) &&
        responseStatus?.code < 300,
    );
  return writes.length;
}
