// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The gate over real HTTPS and kinds in memory: what is allowed, what is denied, and in which words.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deletion, deployment, imageUpdate, review } from './builders.ts';
import { counted, filed, type Harness, type Response, startWebhook } from './harness.ts';

let webhook: Harness;
beforeEach(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys');
});
afterEach(() => webhook.stop());

const nameIn = ({ status }: Response): string => status?.details?.name ?? '';

/** Asks until denied, approves what was filed, and gives it back. */
async function approved(asked: object, policy = 'deploys') {
  const approval = await filed(webhook, nameIn(await webhook.ask(asked, policy)));
  webhook.approve(approval);
  return approval;
}

describe('a request without approval', () => {
  test('is denied in one line with the next command, and for machines in details', async () => {
    const asked = imageUpdate();
    const answer = await webhook.ask(asked);
    expect(answer).toMatchInlineSnapshot(`
      {
        "allowed": false,
        "auditAnnotations": {
          "approval": "prod/deploys-25d900a242",
          "outcome": "Denied",
          "policy": "deploys",
          "reason": "ApprovalRequired",
        },
        "status": {
          "code": 403,
          "details": {
            "causes": [
              {
                "message": "deploys",
                "reason": "Policy",
              },
              {
                "message": "prod",
                "reason": "Namespace",
              },
              {
                "message": "1 of 1 approval by group approvers missing",
                "reason": "Missing",
              },
              {
                "message": "kubectl -n prod get sua deploys-25d900a242 -o jsonpath={.status.approveWith} | kubectl create -f -",
                "reason": "ApproveCommand",
              },
            ],
            "group": "stepup.dev",
            "kind": "stepupapprovals",
            "name": "deploys-25d900a242",
          },
          "message": "stepup: deploys requires approval to UPDATE deployments prod/web: 1 of 1 approval by group approvers missing. Approval prod/deploys-25d900a242. Approve: kubectl -n prod get sua deploys-25d900a242 -o jsonpath={.status.approveWith} | kubectl create -f -",
          "reason": "StepUpRequired",
          "status": "Failure",
        },
        "uid": "request-1",
      }
    `);
  });
});

describe('an approved request', () => {
  test('passes once, is re-admitted on the same state, and is denied on the next', async () => {
    const approval = await approved(imageUpdate());
    const answer = await webhook.ask(imageUpdate());
    expect(answer).toMatchObject({ allowed: true, auditAnnotations: { reason: 'Reserved' } });
    expect(await webhook.ask(imageUpdate())).toMatchObject({
      allowed: true,
      auditAnnotations: { reason: 'Readmitted' },
    });
    const stored = await webhook.approvals.get(approval.metadata);
    expect(stored.status).toMatchObject({ phase: 'Reserved', uses: [{ base: { kind: 'Generation', generation: 4 } }] });
  });
});

void [deletion, deployment, review, counted];
