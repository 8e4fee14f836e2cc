// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the webhook lets others see, over real HTTPS: its answers to the watchdog, audit records, calls without a decision.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { probesFor } from '../../../src/domain/integrity/watchdog-probe.ts';
import { imageUpdate, review } from '../../support/builders/reviews.ts';
import { status, uncertain } from '../../support/fakes/fake-kinds.ts';
import { reasonIn } from '../../support/fakes/webhook-client.ts';
import { approved, counted, type Harness, startWebhook } from '../../support/fakes/webhook-harness.ts';

let webhook: Harness;
beforeEach(async () => {
  webhook = await startWebhook();
  webhook.policy('deploys');
});
afterEach(() => webhook.stop());

describe('the watchdog', () => {
  const probe = (dryRun: boolean) =>
    review({
      operation: 'CREATE',
      resource: { group: 'coordination.k8s.io', version: 'v1', resource: 'leases' },
      dryRun,
      oldObject: null,
      object: probesFor(['deploys'], 'stepup-system')[0],
    });
  const asked = async (policy: string, body: object) => {
    const { text } = await webhook.post(`/watchdog/${policy}?timeout=3s`, JSON.stringify(body));
    return (JSON.parse(text) as { response: Awaited<ReturnType<Harness['ask']>> }).response;
  };

  test('gets the name of the gate that it asks for, and nothing of another', async () => {
    expect(await asked('deploys', probe(true))).toMatchObject({
      allowed: true,
      warnings: ['stepup watchdog: deploys'],
    });
    const other = await asked('other', probe(true));
    expect({ allowed: other.allowed, warnings: other.warnings ?? [] }).toEqual({ allowed: true, warnings: [] });
    expect(await counted(webhook, 'stepup_reviews_total', { path: 'watchdog' })).toBe(2);
    expect(await counted(webhook, 'stepup_decisions_total')).toBe(0);
  });

  test('stores nothing: what is no dry run is refused', async () => {
    const answer = await asked('deploys', probe(false));
    expect(answer).toMatchObject({ allowed: false, status: { code: 403 } });
    expect(answer.status?.message).toContain('for dry runs only');
  });
});

describe('audit records', () => {
  test('one for each reservation that was written, with who voted', async () => {
    await approved(webhook, imageUpdate());
    expect(webhook.audited).toEqual([]);
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed Reserved');
    expect(webhook.audited).toMatchObject([{ to: 'Reserved', reason: 'Reserved', approvedBy: ['ada'] }]);
    expect(reasonIn(await webhook.ask(imageUpdate()))).toBe('Allowed Readmitted');
    expect(webhook.audited).toHaveLength(1);
  });

  test.each([
    ['another one was first', () => status(409, 'Conflict')],
    ['nobody can tell', () => uncertain()],
  ])('none where %s', async (_, failure) => {
    await approved(webhook, imageUpdate());
    webhook.approvals.before = (call) => {
      if (call === 'replaceStatus') throw failure();
      return undefined;
    };
    await webhook.ask(imageUpdate());
    expect(webhook.audited).toEqual([]);
  });

  test('one for what a policy gives by itself', async () => {
    webhook.policy('deploys', { approval: { auto: { ratePerHour: 3 } } });
    await webhook.ask(imageUpdate());
    expect(webhook.audited).toMatchObject([
      { to: 'Reserved', reason: 'AutoApproved', by: [{ kind: 'Policy', name: 'deploys' }] },
    ]);
  });
});

describe('calls without a decision', () => {
  test.each([
    ['Unreadable', 'no JSON', '{', {}],
    ['Unreadable', 'another type', '{}', { 'content-type': 'text/plain' }],
    ['InvalidRequest', 'a review of something unknown', JSON.stringify(review({ operation: 'PATCH' })), {}],
  ])('are counted as %s: %s', async (reason, _, body, headers) => {
    await webhook.post('/gate/deploys', body, { 'content-type': 'application/json', ...headers });
    expect(await counted(webhook, 'stepup_undecided_reviews_total', { reason })).toBe(1);
    expect(await counted(webhook, 'stepup_undecided_reviews_total')).toBe(1);
  });

  test('what is decided is not among them', async () => {
    await webhook.ask(imageUpdate());
    expect(await counted(webhook, 'stepup_undecided_reviews_total')).toBe(0);
  });
});
