// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What takes its time: settlement that does not come, an API server that does not answer, storms, limits, closing.
import { describe, expect, test as plain } from 'vitest';
import { deletion, deployment, imageUpdate, review } from '../../support/builders/reviews.ts';
import { status } from '../../support/fakes/fake-kinds.ts';
import { nameIn, reasonIn } from '../../support/fakes/webhook-client.ts';
import { approved, counted, filed, type Harness, startWebhook } from '../../support/fakes/webhook-harness.ts';
import { decisionFailed } from './decision-failed.ts';

/** A webhook for each test, so that waits run side by side. */
const test = plain.extend<{ readonly webhook: Harness }>({
  webhook: async ({ task: _ }, use) => {
    const webhook = await startWebhook();
    webhook.policy('deploys');
    await use(webhook);
    await webhook.stop();
  },
});

describe.concurrent('an approval', () => {
  test('that was reserved for another object of the name is denied at once', async ({ webhook, expect }) => {
    await approved(webhook, review({ object: deployment({ metadata: { uid: 'one' } }) }));
    const second = () => review({ object: deployment({ metadata: { uid: 'two' } }) });
    expect(reasonIn(await webhook.ask(second()))).toBe('Allowed Reserved');
    const startedAt = performance.now();
    const third = await webhook.ask(review({ object: deployment({ metadata: { uid: 'three' } }) }));
    expect(third.status?.message.replace(/-[0-9a-f]{10}/g, '-HASH')).toMatchInlineSnapshot(
      `"stepup: deploys requires approval to CREATE deployments prod/web: the previous approval is reserved or consumed; 1 of 1 approval by group approvers missing. Approval prod/deploys-HASH. Approve: kubectl -n prod get sua deploys-HASH -o jsonpath={.status.approveWith} | kubectl create -f -"`,
    );
    expect(reasonIn(third)).toBe('Denied AlreadyUsed');
    // No settlement gives a creation back: there is nothing to wait for.
    expect(performance.now() - startedAt).toBeLessThan(1_400);
  });

  test('admits one of two requests for different objects', async ({ webhook, expect }) => {
    await approved(webhook, review({ object: deployment({ metadata: { uid: 'zero' } }) }));
    webhook.approvals.isHeldBack = true;
    const asked = ['one', 'two', 'three', 'four'].map((uid) =>
      webhook.ask(review({ object: deployment({ metadata: { uid } }) })),
    );
    const answers = await Promise.all(asked);
    expect(answers.filter(({ allowed }) => allowed).length).toBe(1);
  });

  test('that cannot be read because the API server does not answer is a denial within the API server’s own time', async ({
    webhook,
    expect,
  }) => {
    webhook.approvals.before = () => new Promise(() => undefined);
    const startedAt = performance.now();
    const answer = await webhook.ask(imageUpdate());
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    expect(answer.status).toStrictEqual(decisionFailed);
  });
});

describe('a storm of identical requests', () => {
  test('costs at most ten live reads a second and one filing', async ({ webhook }) => {
    webhook.approvals.before = (verb) =>
      verb === 'list' ? new Promise((resolve) => setTimeout(resolve, 5)) : undefined;
    const startedAt = performance.now();
    let answers = 0;
    const names = new Set<string>();
    const ask = async () => {
      while (performance.now() - startedAt < 1_000) {
        const answer = await webhook.ask(imageUpdate());
        expect(answer.allowed).toBe(false);
        names.add(nameIn(answer));
        answers += 1;
      }
    };
    await Promise.all(Array.from({ length: 50 }, ask));
    const seconds = (performance.now() - startedAt) / 1_000;
    const reads = await counted(webhook, 'stepup_live_reads_total');
    expect(reads).toBeLessThanOrEqual(10 * Math.ceil(seconds));
    // Shared: however slow the machine, every round of the fifty costs one.
    expect(answers / reads).toBeGreaterThan(5);
    expect([names.size, webhook.approvals.count('create')]).toEqual([1, 1]);
    expect(await counted(webhook, 'stepup_filings_total', { result: 'created' })).toBe(1);
  });

  test('of different requests is cut off by requester, and others are not', async ({ webhook }) => {
    const asked = (name: string, userInfo: object = {}) =>
      webhook.ask(review({ name, object: deployment({ metadata: { name, uid: name } }), ...userInfo }));
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 120 }, (_, i) => asked(`web-${i}`)));
    const seconds = Math.ceil((performance.now() - startedAt) / 1_000);
    const tooMany = answers.filter((answer) => reasonIn(answer) === 'Denied TooManyPending');
    // Fifty at once, and ten more for each second that the machine took.
    expect(tooMany.length).toBeGreaterThanOrEqual(Math.max(120 - 50 - 10 * seconds, 1));
    expect(tooMany[0]?.status).toMatchInlineSnapshot(`
      {
        "code": 403,
        "details": {
          "causes": [
            {
              "message": "deploys",
              "reason": "Policy",
            },
            {
              "message": "TooManyPending",
              "reason": "Reason",
            },
          ],
          "group": "stepup.dev",
          "kind": "stepuppolicies",
          "name": "deploys",
        },
        "message": "stepup: deploys: the requester has too many approvals pending. No approval was filed: the requester causes new ones too fast. Send the request again in a moment",
        "reason": "TooManyPending",
        "status": "Failure",
      }
    `);
    const other = { userInfo: { username: 'system:serviceaccount:ci:other', uid: 'o', groups: [] } };
    expect(reasonIn(await asked('web', other))).toBe('Denied ApprovalRequired');
  });

  test('of different requests is cut off by how many are pending', async ({ webhook }) => {
    webhook.policy('deploys', { request: { maxPendingPerRequester: 2 } });
    const asked = (name: string) =>
      webhook.ask(review({ name, object: deployment({ metadata: { name, uid: name } }) }));
    for (const name of ['one', 'two']) await filed(webhook, nameIn(await asked(name)));
    expect(reasonIn(await asked('three'))).toBe('Denied TooManyPending');
    expect(reasonIn(await asked('two'))).toBe('Denied ApprovalRequired');
    webhook.approvals.change(webhook.approvals.all[0]!.metadata, (one) => ({ ...one, status: { phase: 'Denied' } }));
    expect(reasonIn(await asked('three'))).toBe('Denied ApprovalRequired');
  });
});

describe('filing', () => {
  test('is tried again when it failed', async ({ webhook }) => {
    let failures = 2;
    webhook.approvals.before = (verb) => {
      if (verb === 'create' && failures-- > 0) throw status(503, 'ServiceUnavailable');
    };
    await filed(webhook, nameIn(await webhook.ask(deletion())));
    expect(webhook.approvals.count('create')).toBe(3);
  });

  test('happens after the answer and before the webhook has closed', async ({ webhook }) => {
    let create = () => {};
    webhook.approvals.before = (verb) =>
      verb === 'create'
        ? new Promise((resolve) => {
            create = resolve;
          })
        : undefined;
    await webhook.ask(deletion());
    webhook.hangUp();
    const closed = webhook.server.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(webhook.approvals.all).toEqual([]);
    create();
    await closed;
    expect(webhook.approvals.all.length).toBe(1);
  });

  test('of a name that somebody else filed is done', async ({ webhook }) => {
    webhook.approvals.before = (verb, object) => {
      if (verb === 'create' && object !== undefined) {
        webhook.approvals.before = () => undefined;
        webhook.approvals.put(object as Parameters<typeof webhook.approvals.put>[0]);
      }
    };
    await filed(webhook, nameIn(await webhook.ask(deletion())));
    await expect.poll(() => counted(webhook, 'stepup_filings_total', { result: 'exists' })).toBe(1);
  });
});
