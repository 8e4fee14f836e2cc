// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a cluster-admin writes while stepup's webhooks are away opens nothing once they are back, and is told; and the
// keys that seals are made with survive their Secret.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpApproval, StepUpDecision } from '../../../src/api/kinds.ts';
import { decisionStatement } from '../../../src/domain/seals/seal.ts';
import type { Secret } from '../../../src/kube/objects/objects.ts';
import { readKeyring, writeKeyring } from '../../../src/replica/keyring-secret.ts';
import { eventually } from '../../support/eventually.ts';
import {
  type Action,
  type Actors,
  approvalsIn,
  decisionsIn,
  type Key,
  pathOf,
  tried,
} from '../../support/installation/actors.ts';
import { type Installation, systemNamespace } from '../../support/installation/installation.ts';
import { counted } from '../../support/installation/metrics.ts';
import { whileWebhooksAreAway } from '../../support/installation/webhooks-away.ts';
import { keptKey, keyringOf } from '../../support/seals.ts';
import { deniedApproval, installGoverningConfigMaps, updateOf } from './config-map-changes.ts';

let stepup: Installation;
let actors: Actors;
beforeAll(async () => {
  ({ stepup, actors } = await installGoverningConfigMaps());
}, 300_000);
afterAll(() => stepup?.stop());

const keyOf = ({ metadata }: StepUpApproval): Key => ({ namespace: metadata.namespace, name: metadata.name });

/** The decision that grace of group approvers would make, as admission stamps it, without the seal. */
function wordOn({ metadata, spec }: StepUpApproval, verdict: 'Approve' | 'Deny' = 'Approve'): StepUpDecision {
  const { name, namespace, uid } = metadata;
  const digest = spec.change?.digest;
  return {
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpDecision',
    metadata: { generateName: 'forged-', namespace, labels: { 'stepup.dev/approval': uid } },
    spec: {
      approval: { name, uid, ...(digest === undefined ? {} : { digest }) },
      verdict,
      decidedBy: { username: 'grace', groups: ['approvers'] },
      kind: 'Human',
      decidedAt: new Date().toISOString(),
    },
  } as unknown as StepUpDecision;
}

interface Forgery {
  readonly what: string;
  readonly action: Action;
  /** What a cluster-admin writes while nobody looks. */
  readonly forge: (approval: StepUpApproval) => Promise<unknown>;
  readonly says?: string;
}

const post = (decision: StepUpDecision) =>
  actors.do('admin', 'POST', decisionsIn(decision.metadata.namespace), decision);

const forgeries: readonly Forgery[] = [
  {
    what: 'a decision without a seal',
    action: updateOf('unsealed'),
    forge: (approval) => post(wordOn(approval)),
    says: 'it has no seal of stepup',
  },
  {
    what: 'a decision sealed with a key of one’s own',
    action: updateOf('own-key'),
    forge: (approval) => {
      const word = wordOn(approval);
      const seal = keyringOf([keptKey()]).sign(decisionStatement('prod', word.spec));
      return post({ ...word, spec: { ...word.spec, seal } });
    },
    says: 'its seal was made with a key that stepup does not have',
  },
  {
    what: 'a genuine decision about another approval',
    action: updateOf('replayed'),
    forge: async (approval) => {
      const genuine = await sealedElsewhere();
      const { seal } = genuine.spec;
      const word = wordOn(approval);
      return post({ ...word, spec: { ...genuine.spec, approval: word.spec.approval, ...(seal ? { seal } : {}) } });
    },
    says: 'its seal does not match its content',
  },
  {
    what: 'a status that says Approved',
    action: updateOf('status'),
    forge: async (approval) => {
      const far = new Date(Date.now() + 3_600_000).toISOString();
      const status = {
        phase: 'Approved',
        approvedAt: new Date().toISOString(),
        usableUntil: far,
        received: 1,
        votes: '1/1',
      };
      await actors.do('admin', 'PATCH', `${pathOf(keyOf(approval))}/status`, { status });
    },
  },
  {
    what: 'an approval that somebody else is said to have created',
    action: updateOf('applied'),
    forge: async ({ metadata, spec }) => {
      const { labels } = metadata;
      const createdBy = { username: 'grace', groups: ['approvers'], stampedAt: new Date().toISOString(), nonce: 'own' };
      await actors.do('admin', 'POST', approvalsIn('prod'), {
        apiVersion: 'stepup.dev/v1alpha1',
        kind: 'StepUpApproval',
        metadata: { name: 'forged-applied', namespace: 'prod', labels },
        spec: { ...spec, origin: 'Applied', createdBy },
      });
    },
  },
];

let elsewhere: StepUpApproval;
async function sealedElsewhere(): Promise<StepUpDecision> {
  const { items } = await actors.do<{ items: StepUpDecision[] }>('admin', 'GET', decisionsIn('prod'));
  const found = items.find(({ spec }) => spec.approval.uid === elsewhere.metadata.uid);
  if (found === undefined) throw new Error('nobody has decided elsewhere');
  return found;
}

describe('while the webhooks are away', () => {
  const approvals = new Map<string, StepUpApproval>();

  beforeAll(async () => {
    elsewhere = await deniedApproval(actors, updateOf('elsewhere'));
    await actors.approve(keyOf(elsewhere));
    for (const { what, action } of forgeries) approvals.set(what, await deniedApproval(actors, action));
    await whileWebhooksAreAway(stepup, actors, 'contents', async () => {
      for (const { what, forge } of forgeries) await forge(approvals.get(what) as StepUpApproval);
    });
  }, 180_000);

  test.each(forgeries)('$what opens nothing', async ({ what, action, says }) => {
    const approval = approvals.get(what) as StepUpApproval;
    const said = await tried(actors, action);
    expect(said).toMatchObject({ isDone: false, code: 403 });
    if (says !== undefined) {
      const condition = ({ status }: StepUpApproval) => status?.conditions?.find(({ type }) => type === 'Tampered');
      const told = await actors.reached(keyOf(approval), (one) => (condition(one)?.message ?? '').includes(says));
      expect(condition(told)?.status).toBe('True');
      expect(told.status).toMatchObject({ phase: 'Pending', votes: '0/1', decisions: [{ counted: false, why: says }] });
    }
    // Its neighbour differs in one thing: grace herself says so.
    await actors.approve({ namespace: approval.metadata.namespace, name: approval.metadata.name }, 'grace');
    expect(await tried(actors, action)).toMatchObject({ isDone: true });
  });

  test('is counted and told by an event', async () => {
    const withSeals = forgeries.filter(({ says }) => says !== undefined).length;
    await eventually('the metric to follow', async () => {
      expect(await counted(stepup, 'stepup_unsealed_total')).toBeGreaterThanOrEqual(withSeals);
      return true;
    });
    const { items } = await actors.do<{ items: { reason: string; type: string; note: string }[] }>(
      'admin',
      'GET',
      '/apis/events.k8s.io/v1/namespaces/prod/events',
    );
    const notes = items.filter(({ reason }) => reason === 'Tampered');
    expect(notes.every(({ type }) => type === 'Warning')).toBe(true);
    for (const { says } of forgeries)
      if (says !== undefined) expect(notes.map(({ note }) => note).join()).toContain(says);
  });
});

describe('the keyring', () => {
  const path = `/api/v1/namespaces/${systemNamespace}/secrets/stepup-keys`;
  const stored = () => stepup.cluster.admin.get<Secret>(path);

  test('is put back with the same keys when its Secret is deleted or emptied, and votes still count', async () => {
    const action = updateOf('kept');
    const approval = await deniedApproval(actors, action);
    await actors.approve(keyOf(approval));
    const keys = readKeyring(await stored());
    const { uid } = (await stored()).metadata;
    await stepup.cluster.admin.delete(path);
    await eventually('the keyring to be put back', async () => {
      const now = await stored();
      expect(readKeyring(now)).toEqual(keys);
      return now.metadata.uid !== uid;
    });
    await actors.do('admin', 'PATCH', path, { data: { 'keyring.json': Buffer.from('{}').toString('base64') } });
    await eventually('the keyring to be put back again', async () => {
      expect(readKeyring(await stored())).toEqual(keys);
      return true;
    });
    expect(await tried(actors, action)).toMatchObject({ isDone: true });
  });

  test('takes up no key that somebody else puts there', async () => {
    const keys = readKeyring(await stored());
    if (typeof keys === 'string') throw new Error(keys);
    const own = keptKey(new Date(Date.now() - 700_000));
    for (const foreign of [[own], [...keys, own]]) {
      await actors.do('admin', 'PATCH', path, { data: writeKeyring(foreign) });
      await eventually('the keyring to be put back', async () => {
        expect(readKeyring(await stored())).toEqual(keys);
        return true;
      });
    }
    const approval = await deniedApproval(actors, updateOf('own-ring'));
    const word = wordOn(approval);
    const forged = keyringOf([own]).sign(decisionStatement('prod', word.spec));
    await actors.send('stepup', 'POST', decisionsIn('prod'), { ...word, spec: { ...word.spec, seal: forged } });
    expect(await tried(actors, updateOf('own-ring'))).toMatchObject({ isDone: false, code: 403 });
    await actors.approve(keyOf(approval));
    expect(await tried(actors, updateOf('own-ring'))).toMatchObject({ isDone: true });
  });
});
