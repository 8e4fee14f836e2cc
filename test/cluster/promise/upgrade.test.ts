// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Upgrades of the promise: what the release before has filed, with its digests, is waited for, approved, spent, admitted
// again and settled by this one, and never twice.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { policyOf, type StepUpApproval, type StepUpPolicy } from '../../../src/api/kinds.ts';
import { type Attempt, approvalNameOf, attemptOf, targetLabelOf } from '../../../src/domain/change/attempt.ts';
import { describe as described } from '../../../src/domain/change/describe.ts';
import { draftOf } from '../../../src/domain/filing/draft.ts';
import type { ApprovalSpec, Use } from '../../../src/domain/model/approval.ts';
import { targetLabel } from '../../../src/domain/model/labels.ts';
import type { AdmissionRequest } from '../../../src/domain/model/request.ts';
import type { JsonObject } from '../../../src/lib/json.ts';
import { eventually } from '../../support/eventually.ts';
import {
  type Action,
  Actors,
  approvalsIn,
  byHand,
  configMaps,
  effects,
  type Key,
  pathOf,
  putBack,
  tried,
} from '../../support/installation/actors.ts';
import { approvalNamedIn } from '../../support/installation/approvals.ts';
import { deployerName } from '../../support/installation/hand-written.ts';
import { type Installation, installStepup, systemNamespace } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

let stepup: Installation;
let actors: Actors;
beforeAll(async () => {
  // What becomes of ConfigMaps can be looked at, so that all ways of settling are seen.
  stepup = await installStepup({
    values: ['settle.resources[0].resources={configmaps}', 'settle.resources[0].group='],
  });
  actors = new Actors(stepup);
  const changes = [{ operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: [''], resources: ['configmaps'] }];
  const others = { conditions: [{ name: 'own', expression: "request.name.startsWith('two-')" }] };
  await addPolicy(stepup, 'contents', changes);
  await addPolicy(stepup, 'second', changes, others);
}, 300_000);
afterAll(() => stepup?.stop());

const own = `system:serviceaccount:${systemNamespace}:stepup`;
const update = (name: string): Action => ({ operation: 'UPDATE', namespace: 'prod', name });

interface Tried {
  readonly request: AdmissionRequest;
  readonly attempt: Attempt;
  readonly policy: StepUpPolicy;
}

/** What the deployer is about to try, described as a replica describes it; the dry run says whether rightly. */
async function foreseen(action: Action, policyName = 'contents'): Promise<Tried> {
  const path = `${configMaps('prod')}/${action.name}`;
  const policy = await actors.do<StepUpPolicy>(
    'admin',
    'GET',
    `/apis/stepup.dev/v1alpha1/stepuppolicies/${policyName}`,
  );
  const oldObject = await actors.do<JsonObject>('admin', 'GET', path);
  const answer = await stepup.cluster.admin.send('PATCH', `${path}?dryRun=All`, {
    body: { data: { value: 'a' } },
    contentType: 'application/merge-patch+json',
    headers: { 'impersonate-user': deployerName, 'impersonate-group': 'system:serviceaccounts' },
  });
  const request: AdmissionRequest = {
    uid: 'a review of the release before',
    operation: action.operation,
    group: '',
    version: 'v1',
    kind: 'ConfigMap',
    resource: 'configmaps',
    subresource: '',
    namespace: 'prod',
    name: action.name,
    requester: { username: deployerName, uid: '', groups: ['system:serviceaccounts'] },
    dryRun: false,
    oldObject,
    object: answer.body as JsonObject,
  };
  const found = described(request, policyOf(policy), { selectorKeys: [] });
  if (found.kind !== 'Privileged') throw new Error(`not privileged: ${found.reason}`);
  expect(String(answer.headers.warning), 'what this release prints').toContain(found.change.digest);
  return { request, attempt: attemptOf(policy.metadata.name, request, found.change), policy };
}

/** What the release before has filed for it. */
async function filedBefore({ request, attempt, policy }: Tried, change: ApprovalSpec['change'] = {}): Promise<Key> {
  const draft = draftOf(attempt, request, policyOf(policy), { diff: 'as it was shown', truncated: false }, own);
  const digest = attempt.change.digests.v1;
  const spec = { ...draft, change: { ...draft.change, digest, digestVersion: 'v1', ...change } };
  const name = approvalNameOf(policy.metadata.name, attempt.attemptKeys.v1, '');
  const metadata = { name, namespace: 'prod', labels: { [targetLabel]: targetLabelOf(spec) } };
  const object = { apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpApproval', metadata, spec };
  await actors.do('stepup', 'POST', approvalsIn('prod'), object);
  return { namespace: 'prod', name };
}

/** What the release before has written when it reserved. */
async function reservedBefore(key: Key, { attempt }: Tried): Promise<void> {
  const { change } = attempt;
  const { effect, objectUID, oldResourceVersion } = change;
  const use: Use = {
    attemptKey: attempt.attemptKeys.v1,
    digest: change.digests.v1,
    base: change.base,
    ...(effect === undefined ? {} : { effect }),
    reservedAt: new Date().toISOString(),
    requestUID: 'a review of the release before',
    ...(objectUID === undefined ? {} : { objectUID }),
    ...(oldResourceVersion === undefined ? {} : { oldResourceVersion }),
    votes: ['ada'],
  };
  const approval = await actors.reached(key, 'Approved');
  const status = { ...approval.status, phase: 'Reserved', uses: [use] };
  await actors.do('stepup', 'PUT', `${pathOf(key)}/status`, { ...approval, status });
}

async function prepared(name: string): Promise<Tried & { readonly action: Action }> {
  const action = update(name);
  await putBack(actors, action);
  return { ...(await foreseen(action)), action };
}

async function approved(key: Key): Promise<void> {
  expect(await actors.approve(key)).toMatchObject({ isDone: true });
}

const useOf = ({ status }: StepUpApproval) => status?.uses?.[0];

describe('an approval of the previous digest version', () => {
  test('that was pending is waited for, approved and spent, once', async () => {
    const before = await prepared('pending');
    const key = await filedBefore(before);
    const denial = await tried(actors, before.action);
    expect(approvalNamedIn(denial.message)).toEqual(key);
    expect(await actors.about('prod', 'pending'), 'nothing is filed beside it').toHaveLength(1);
    await approved(key);
    expect((await tried(actors, before.action, 'other content')).isDone).toBe(false);
    expect(await actors.uses(key)).toBe(0);
    expect(await tried(actors, before.action)).toMatchObject({ isDone: true });
    const spent = await actors.reached(key, 'Consumed');
    expect(useOf(spent)).toMatchObject({ digest: before.attempt.change.digests.v1, digestVersion: 'v1' });
    expect(await effects(actors, before.action)).toBe(0);
    const next = approvalNamedIn((await tried(actors, before.action)).message);
    expect(next).not.toEqual(key);
    const filed = await actors.reached(next, 'Pending');
    expect(filed.spec.change).toMatchObject({ digest: before.attempt.change.digest, digestVersion: 'v2' });
  });

  test('that was reserved is admitted again on its base, once', async () => {
    const before = await prepared('reserved');
    const key = await filedBefore(before);
    await approved(key);
    await reservedBefore(key, before);
    expect(await tried(actors, before.action)).toMatchObject({ isDone: true });
    expect(await actors.uses(key), 'no use beside the one there was').toBe(1);
    expect((await actors.reached(key, 'Consumed')).status?.evidence).toBe('Observed');
    expect(await effects(actors, before.action)).toBe(0);
  });

  test('that was reserved is not admitted on another base, and its loss gives it back', async () => {
    const before = await prepared('moved-on');
    const key = await filedBefore(before);
    await approved(key);
    await reservedBefore(key, before);
    await actors.do('admin', 'PATCH', `${configMaps('prod')}/moved-on`, { metadata: { annotations: { by: 'admin' } } });
    const { status } = await actors.reached(key, 'Approved');
    expect(status?.releases).toHaveLength(1);
    // The whole object binds here, the annotation included: it is another change now.
    expect(await effects(actors, before.action)).toBe(0);
    await actors.do('admin', 'PATCH', `${configMaps('prod')}/moved-on`, { metadata: { annotations: { by: null } } });
    expect(await effects(actors, before.action)).toBe(1);
  });

  test('whose effect has happened is settled', async () => {
    const before = await prepared('happened');
    const key = await filedBefore(before);
    await approved(key);
    await reservedBefore(key, before);
    await actors.do('admin', 'PATCH', `${configMaps('prod')}/happened`, { data: { value: 'a' } });
    expect((await actors.reached(key, 'Consumed')).status?.evidence).toBe('Observed');
    expect(await effects(actors, before.action)).toBe(0);
  });

  test('satisfies its policy beside one of this version under another', async () => {
    const before = await prepared('two-policies');
    const key = await filedBefore(before);
    expect((await tried(actors, before.action)).isDone).toBe(false);
    const both = await filedFor('two-policies', ['contents', 'second']);
    await approved(key);
    expect((await tried(actors, before.action)).isDone).toBe(false);
    expect(await Promise.all(both.map((one) => actors.uses(one)))).toEqual([0, 0]);
    for (const one of both) if (one.name !== key.name) await approved(one);
    expect(await tried(actors, before.action)).toMatchObject({ isDone: true });
    expect(await Promise.all(both.map((one) => actors.uses(one)))).toEqual([1, 1]);
    expect(await effects(actors, before.action)).toBe(0);
  });

  test('is shown with its content once that was seen', async () => {
    const before = await prepared('asked');
    const change = { digest: before.attempt.change.digests.v1, digestVersion: 'v1' };
    const asked = byHand('contents', before.action, { change });
    const { metadata } = await actors.do<StepUpApproval>('deployer', 'POST', approvalsIn('prod'), asked);
    await foreseen(before.action);
    await actors.reached(metadata, ({ status }) => status?.preview !== undefined);
    await approved(metadata);
    expect(await effects(actors, before.action, 3)).toBe(1);
  });
});

describe('a digest', () => {
  test('of a version that nobody knows covers nothing, though it was approved', async () => {
    const before = await prepared('unknown');
    const { digest } = before.attempt.change;
    const key = await filedBefore(before, { digest, digestVersion: 'v3' });
    await approved(key);
    await actors.reached(key, 'Approved');
    expect(await effects(actors, before.action)).toBe(0);
    expect(await actors.uses(key)).toBe(0);
  });

  test('that was printed before the upgrade covers under its version, and not without it', async () => {
    const before = await prepared('printed');
    const digest = before.attempt.change.digests.v1;
    await actors.applied('contents', before.action, { change: { digest } });
    expect(await effects(actors, before.action)).toBe(0);
    await actors.applied('contents', before.action, { change: { digest, digestVersion: 'v1' } });
    expect(await effects(actors, before.action, 3)).toBe(1);
    const unknown = byHand('contents', before.action, { change: { digest, digestVersion: 'v3' } });
    const said = await actors.send('ada', 'POST', approvalsIn('prod'), unknown);
    expect(said.message).toContain('spec.change.digestVersion: must be v2, the default, or v1');
  });
});

test('an approval that the release before has stamped counts once somebody else approves it', async () => {
  const before = await prepared('stamped');
  const draft = byHand('contents', before.action, {
    change: { digest: before.attempt.change.digests.v1, digestVersion: 'v1' },
    origin: 'Applied',
    createdBy: { username: 'ada', groups: ['approvers'] },
  });
  const labels = { [targetLabel]: targetLabelOf(draft.spec) };
  const object = { ...draft, metadata: { ...draft.metadata, labels } };
  const { metadata } = await actors.do<StepUpApproval>('stepup', 'POST', approvalsIn('prod'), object);
  const denial = await tried(actors, before.action);
  expect(denial.message).toContain("the creator's vote does not count (it has no seal of stepup; create it again)");
  expect(approvalNamedIn(denial.message).name).toBe(metadata.name);
  await approved(metadata);
  expect(await effects(actors, before.action, 3)).toBe(1);
});

/** The approvals of a target, one under each of these policies. */
function filedFor(name: string, policies: readonly string[]): Promise<readonly Key[]> {
  return eventually(`approvals of ${name} under ${policies.join(', ')}`, async () => {
    const found = await actors.about('prod', name);
    const of = found.map(({ spec }) => spec.policy.name).sort();
    return of.join() === policies.join() ? found.map(({ metadata }) => metadata) : undefined;
  });
}
