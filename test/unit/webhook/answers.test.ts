// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every reason for a denial: the whole answer, as docs/answers.md shows it, and its audit annotations.
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DeniedReason, deniedReasons } from '../../../src/domain/model/reason.ts';
import { namedReasons, problemsOf } from '../../support/answers/contract.ts';
import { deletion, deployment, imageUpdate, ready, review } from '../../support/builders/reviews.ts';
import { uncertain } from '../../support/fakes/fake-kinds.ts';
import { nameIn, type Response } from '../../support/fakes/webhook-client.ts';
import { approved, counted, filed, type Harness, startWebhook } from '../../support/fakes/webhook-harness.ts';
import { root, textOf } from '../../support/repository-files.ts';

let webhook: Harness;
beforeEach(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys');
});
afterEach(() => webhook.stop());

interface Case {
  readonly code?: number;
  /** The audit annotation approval is there. */
  readonly names?: true;
  /** None where the review never came to the gate. */
  readonly isUnaudited?: true;
  ask(): Promise<Response>;
}

const require = [{ name: 'approvers', approvers: { groups: ['approvers'] } }];

/** An UPDATE of something that is going: takes away its finalizer and changes the image at once. */
function twoEffects() {
  const going = { uid: 'object-web', generation: 4, deletionTimestamp: '2026-01-01T00:00:00Z' };
  return review({
    operation: 'UPDATE',
    oldObject: deployment({ metadata: { ...going, finalizers: ['example.com/wait'] } }),
    object: deployment({ image: 'nginx:2', metadata: { ...going, finalizers: [] } }),
  });
}

const cases: Readonly<Record<DeniedReason, Case>> = {
  RateExceeded: {
    async ask() {
      webhook.policy('deploys', { approval: { auto: { ratePerHour: 1 } } });
      await webhook.ask(imageUpdate());
      return webhook.ask(imageUpdate('nginx:3'));
    },
  },
  ApprovalRequired: { names: true, ask: () => webhook.ask(imageUpdate()) },
  AlreadyUsed: {
    names: true,
    async ask() {
      await approved(webhook, imageUpdate());
      await webhook.ask(imageUpdate());
      return webhook.ask(imageUpdate('nginx:2', 9));
    },
  },
  WaitingForOthers: {
    names: true,
    async ask() {
      webhook.caches.namespaces.set({
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'prod', uid: 'n', resourceVersion: '1', labels: { environment: 'production' } },
      } as never);
      webhook.policy('second', { approval: { require: [{ name: 'boss', approvers: { users: ['grace'] } }] } });
      await filed(webhook, nameIn(await webhook.ask(imageUpdate(), 'second')));
      await approved(webhook, imageUpdate());
      return webhook.ask(imageUpdate());
    },
  },
  TargetUnknown: {
    code: 404,
    ask() {
      webhook.policy('deploys', { actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['pods'] }] });
      const resource = { group: '', version: 'v1', resource: 'pods' };
      return webhook.ask(review({ resource, subResource: 'eviction', name: 'web-1', object: { kind: 'Eviction' } }));
    },
  },
  SeveralEffects: { ask: () => webhook.ask(twoEffects()) },
  TokenTooLong: {
    ask() {
      webhook.policy('deploys', {
        actions: [
          { operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts/token'], maxTokenSeconds: 600 },
        ],
      });
      const resource = { group: '', version: 'v1', resource: 'serviceaccounts' };
      const object = { kind: 'TokenRequest', spec: { audiences: ['x'], expirationSeconds: 601 } };
      return webhook.ask(review({ resource, subResource: 'token', name: 'robot', object }));
    },
  },
  TooManyPending: {
    async ask() {
      webhook.policy('deploys', { request: { maxPendingPerRequester: 1 } });
      await filed(webhook, nameIn(await webhook.ask(imageUpdate())));
      return webhook.ask(imageUpdate('nginx:3'));
    },
  },
  ReasonRequired: {
    ask() {
      webhook.policy('deploys', { approval: { require, reasonRequired: true } });
      return webhook.ask(imageUpdate());
    },
  },
  TicketRequired: {
    ask() {
      webhook.policy('deploys', { approval: { require, ticketRequired: true } });
      return webhook.ask(imageUpdate());
    },
  },
  Contended: {
    async ask() {
      const { metadata } = await approved(webhook, deletion());
      webhook.approvals.before = (verb) => {
        if (verb === 'replaceStatus') webhook.approvals.change(metadata, (object) => ({ ...object }));
      };
      return webhook.ask(deletion());
    },
  },
  NotReady: {
    ask() {
      webhook.caches.hasSynced = false;
      return webhook.ask(imageUpdate());
    },
  },
  UnknownPolicy: { ask: () => webhook.ask(imageUpdate(), 'gone') },
  InvalidRequest: { code: 400, isUnaudited: true, ask: () => webhook.ask(review({ operation: 'PATCH' })) },
  Failed: {
    ask() {
      webhook.approvals.before = () => {
        throw uncertain();
      };
      return webhook.ask(imageUpdate());
    },
  },
};

/** The Status that a client gets: the API server puts a sentence of its own before ours. */
function asTheClientSees({ status }: Response, policy: string) {
  const prefix = `admission webhook "action.${policy}.gate.stepup.dev" denied the request: `;
  const { message = '', reason = '', code = 0, details } = status ?? {};
  const whole = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: prefix + message };
  const text = JSON.stringify({ ...whole, reason, details, code }, null, 2);
  // Names end in a hash over object UIDs, of which tests make new ones.
  return text.replace(/\b(deploys|second)-[0-9a-f]{10}\b/g, '$1-25d900a242');
}

function blockOf(document: string, reason: string): RegExpExecArray | null {
  return new RegExp(`### ${reason}\\n[\\s\\S]*?\\x60{3}json\\n([\\s\\S]*?)\\n\\x60{3}`).exec(document);
}

describe('a denial', () => {
  test.each(Object.keys(deniedReasons) as DeniedReason[])(
    'by %s is in whole what docs/answers.md shows, and audited',
    async (reason) => {
      const { code = 403, names, isUnaudited, ask } = cases[reason];
      const answer = await ask();
      expect(answer.allowed).toBe(false);
      expect(problemsOf(answer.status?.details)).toEqual([]);
      expect(answer.status?.code).toBe(code);
      expect(answer.status?.reason).toBe(names ? 'StepUpRequired' : reason);
      const policy = reason === 'UnknownPolicy' ? 'gone' : 'deploys';
      const approval = names ? { approval: `prod/${nameIn(answer)}` } : {};
      expect(answer.auditAnnotations).toEqual(
        isUnaudited ? undefined : { policy, outcome: 'Denied', reason, ...approval },
      );
      const shown = asTheClientSees(answer, policy);
      if (process.env.UPDATE_DOCS) show(reason, shown);
      expect(blockOf(textOf('docs/answers.md'), reason)?.[1]).toBe(shown);
    },
  );

  test('has a reason that the schema names', () => {
    expect(namedReasons).toEqual(Object.keys(deniedReasons).sort());
  });

  test('under Retry asks to come again, in header and details', async () => {
    webhook.policy('deploys', { request: { whenPending: 'Retry', retryAfterSeconds: 7 } });
    const { status } = await webhook.ask(imageUpdate());
    expect(problemsOf(status?.details)).toEqual([]);
    expect(status).toMatchObject({ code: 429, details: { retryAfterSeconds: 7 } });
    expect(problemsOf({ ...status?.details, retryAfterSeconds: 0 })).not.toEqual([]);
  });
});

function show(reason: string, shown: string): void {
  const document = textOf('docs/answers.md');
  const before = blockOf(document, reason)?.[1] ?? '';
  writeFileSync(
    `${root}docs/answers.md`,
    document
      .replace(`### ${reason}\n`, '\u0000')
      .replace(before, () => shown)
      .replace('\u0000', `### ${reason}\n`),
  );
}

describe('a policy that observes', () => {
  beforeEach(() => {
    webhook.policy('deploys', { mode: 'Observe' });
  });
  const answerTo = async (asked: object) => ({ ...(await webhook.ask(asked)), uid: '' });

  test('lets pass, says what it would have required, files nothing and reserves nothing', async () => {
    expect(await answerTo(imageUpdate())).toEqual({
      uid: '',
      allowed: true,
      warnings: [
        'stepup: deploys observes; it would have required approval to UPDATE deployments prod/web: 1 of 1 approval by group approvers',
      ],
      auditAnnotations: { policy: 'deploys', outcome: 'WouldDeny', reason: 'ApprovalRequired' },
    });
    expect([...webhook.approvals.calls, ...webhook.decisions.calls]).toEqual([]);
    const labels = { policy: 'deploys', outcome: 'WouldDeny', reason: 'ApprovalRequired' };
    expect(await counted(webhook, 'stepup_decisions_total', labels)).toBe(1);
    webhook.policy('deploys');
    expect((await answerTo(imageUpdate())).allowed).toBe(false);
  });

  test('lets pass what it would have refused without approval, and counts it', async () => {
    webhook.policy('deploys', { mode: 'Observe', approval: { require, reasonRequired: true } });
    expect(await answerTo(imageUpdate())).toEqual({
      uid: '',
      allowed: true,
      warnings: [
        'stepup: deploys observes; it would have denied the request: the policy requires a reason in the annotation stepup.dev/reason',
      ],
      auditAnnotations: { policy: 'deploys', outcome: 'WouldDeny', reason: 'ReasonRequired' },
    });
  });

  test('says of a dry run what the real request would need', async () => {
    expect((await answerTo(imageUpdate('nginx:2', 4, { dryRun: true }))).warnings).toEqual([
      'stepup: deploys observes; it would require approval for the real request',
    ]);
  });

  test('lets pass when stepup cannot tell, also by an entry of a policy that is gone', async () => {
    webhook.approvals.before = () => {
      throw uncertain();
    };
    const observe = async (policy: string, asked: object) => {
      const { text } = await webhook.post(`/observe/${policy}`, JSON.stringify(asked));
      return (JSON.parse(text) as { response: Response }).response;
    };
    expect(await observe('gone', imageUpdate())).toMatchObject({
      allowed: true,
      auditAnnotations: { outcome: 'WouldDeny', reason: 'UnknownPolicy' },
    });
    webhook.caches.hasSynced = false;
    expect((await observe('deploys', imageUpdate())).allowed).toBe(true);
    expect((await webhook.ask(imageUpdate(), 'gone')).allowed).toBe(false);
  });

  test('is enforced at once when it says so, though the entry does not yet', async () => {
    webhook.policy('deploys', {}, ready);
    const { text } = await webhook.post('/observe/deploys', JSON.stringify(imageUpdate()));
    expect(text).toContain('"allowed":false');
  });

  test('has its counts from every replica, whatever comes between', async () => {
    for (const image of ['nginx:2', 'nginx:3', 'nginx:1']) await webhook.ask(imageUpdate(image));
    // Another replica writes first, and somebody else in between.
    const key = { name: 'deploys' };
    const others = {
      generation: 1,
      requests: 5,
      wouldHaveBlocked: 4,
      since: '2020-01-01T00:00:00Z',
      lastAt: '2020-01-02T00:00:00Z',
    };
    webhook.policies.change(key, (policy) => ({ ...policy, status: { ...policy.status, observed: others } }));
    let writes = 0;
    webhook.policies.before = (verb) => {
      if (verb === 'replaceStatus' && writes++ === 0) webhook.policies.change(key, (policy) => ({ ...policy }));
    };
    await webhook.server.close();
    const { observed } = webhook.policies.all[0]?.status ?? {};
    expect(observed).toMatchObject({ requests: 8, wouldHaveBlocked: 6, since: '2020-01-01T00:00:00Z' });
    expect(observed?.recent?.map(({ requester, action }) => `${requester} ${action}`)).toEqual([
      'ci/deployer UPDATE deployments prod/web',
      'ci/deployer UPDATE deployments prod/web',
    ]);
    expect(writes).toBe(2);
  });
});
