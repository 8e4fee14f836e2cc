// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which writes of an approval's status are a step, and how the audit record tells each.
import { describe, expect, test } from 'vitest';
import { creationOf, type Transition, transitionOf } from '../../../../src/domain/lifecycle/transition.ts';
import type { Approval } from '../../../../src/domain/model/approval.ts';
import { createAudit } from '../../../../src/observe/audit.ts';
import { recordProblems } from '../../../support/answers/contract.ts';
import {
  approval,
  at,
  byHand,
  plan,
  policy,
  reserved,
  situation,
  word,
  written,
} from '../../../support/builders/domain.ts';

type Situation = Parameters<typeof situation>[1];

/** The step that the operator writes next, and the approval after it. */
function next(on: Approval, given: Situation = {}): { step: Transition | undefined; after: Approval } {
  const planned = plan(situation(on, given));
  const step = planned.status === undefined ? undefined : transitionOf(on, planned.status, planned.voters);
  return { step, after: written(on, planned) };
}

const told = (step: Transition | undefined) =>
  step && `${step.from ?? '-'} > ${step.to} ${step.reason} by ${step.by.map(({ kind, name }) => `${kind} ${name}`)}`;

/** The line as it is written. */
function lineOf(step: Transition): Record<string, unknown> {
  const lines: string[] = [];
  createAudit('stepup-0', { write: (line: string) => lines.push(line) })(step);
  expect(lines).toHaveLength(1);
  return JSON.parse(lines[0] ?? '');
}

const filed = next(approval()).after;
const vote = word(filed);
const approvedOne = next(filed, { decisions: [vote] }).after;

describe('a step', () => {
  test('each of a life is told once, with who brought it about', () => {
    const first = next(approval());
    const second = next(first.after, { decisions: [word(first.after)] });
    const used = reserved({ approvals: [second.after], words: [word(second.after)] });
    const third = transitionOf(second.after, used.status ?? {});
    const last = next(used, { decisions: [word(used)], seen: { kind: 'Unreadable' } as never, now: at(4000) });
    expect([first.step, second.step, third, last.step].map(told)).toEqual([
      '- > Pending Filed by Requester system:serviceaccount:ci:deployer',
      'Pending > Approved Approved by Voter alice',
      'Approved > Reserved Reserved by Requester system:serviceaccount:ci:deployer',
      'Reserved > Consumed Unconfirmed by Operator stepup',
    ]);
    expect(second.step?.approvedBy).toEqual(['alice']);
    expect(third).toMatchObject({ approvedBy: ['alice'], requestUID: expect.any(String) });
    for (const step of [first.step, second.step, third, last.step]) {
      expect(recordProblems(lineOf(step as Transition))).toEqual([]);
    }
  });

  test('a write that moves nothing is none', () => {
    const again = plan(situation(filed, { now: at(130) }));
    expect(transitionOf(filed, again.status ?? filed.status ?? {}, again.voters)).toBeUndefined();
    const withPreview = {
      ...filed.status,
      preview: { diff: 'x', truncated: false, verifiedAt: '2026-01-01T00:00:00Z' },
    };
    expect(transitionOf(filed, withPreview)).toBeUndefined();
  });

  test.each([
    ['Deny', 'Pending > Denied Denied by Voter alice'],
    ['Revoke', 'Pending > Revoked Revoked by Voter alice'],
  ] as const)('%s names who said it', (verdict, want) => {
    expect(told(next(filed, { decisions: [word(filed, { verdict })] }).step)).toBe(want);
  });

  test('the word of a delegate names both', () => {
    const delegate = { kind: 'Delegate', name: 'alice', via: 'bot' };
    const status = {
      ...filed.status,
      phase: 'Approved' as const,
      decisions: [
        {
          name: 'w',
          uid: 'u',
          verdict: 'Approve' as const,
          decidedBy: 'alice',
          decidedVia: 'bot',
          decidedAt: at(1).toISOString(),
          counted: true,
        },
      ],
    };
    expect(transitionOf(filed, status, ['alice'])?.by).toEqual([delegate]);
    const uncounted = status.decisions.map((one) => ({ ...one, counted: false }));
    expect(transitionOf(filed, { ...status, decisions: uncounted }, [])?.by).toEqual([]);
  });

  test('what nobody decided ends by the operator', () => {
    expect(told(next(filed, { now: at(4000) }).step)).toBe('Pending > TimedOut TimedOut by Operator stepup');
    expect(told(next(approvedOne, { decisions: [vote], now: at(4000) }).step)).toBe(
      'Approved > Expired Expired by Operator stepup',
    );
  });

  test('an approval applied by hand counts its creator among those who approve', () => {
    const target = policy({ grant: { binding: 'Target' } });
    const applied = approval(undefined, target, { spec: byHand() });
    expect(told(next(applied, { policy: target, policies: [target] }).step)).toBe(
      '- > Approved Approved by Creator alice',
    );
  });

  test('a broken glass and its review are steps of their own', () => {
    const bypassed = { ...filed.status, phase: 'Approved' as const, review: 'Required' as const };
    expect(transitionOf(filed, bypassed, ['alice'])?.reason).toBe('BreakGlass');
    const open = { ...filed, status: bypassed };
    expect(told(transitionOf(open, { ...bypassed, review: 'Done' }))).toBe('Approved > Approved Reviewed by ');
    expect(transitionOf(open, bypassed)).toBeUndefined();
  });

  test('what a policy gives by itself is reserved from its first record on', () => {
    const { use, ...rest } = { use: reserved({ approvals: [approvedOne], words: [vote] }).status?.uses?.[0] };
    expect(rest).toEqual({});
    const auto = approval(undefined, policy(), { spec: { origin: 'Auto', ...(use && { use }) } });
    expect(told(creationOf(auto))).toBe('- > Reserved AutoApproved by Policy production-deploys');
    expect(transitionOf(auto, { phase: 'Reserved' })).toBeUndefined();
    expect(told(transitionOf(auto, { phase: 'Consumed', evidence: 'Observed' }))).toBe(
      'Reserved > Consumed Observed by Operator stepup',
    );
    expect(recordProblems(lineOf(creationOf(auto)))).toEqual([]);
  });
});

describe('the line', () => {
  const step = next(approval()).step as Transition;

  test('keeps the schema, and the schema is not content with less', () => {
    const line = lineOf(step);
    expect(recordProblems(line)).toEqual([]);
    expect(line).toMatchObject({ audit: 'stepup.dev/v1alpha1', pod: 'stepup-0', level: 'info', msg: 'transition' });
    const { by: _, ...without } = line;
    expect(recordProblems(without)).toEqual(['record: lacks by']);
    expect(recordProblems({ ...line, reason: 'Because' })).not.toEqual([]);
    expect(recordProblems({ ...line, diff: 'x' })).not.toEqual([]);
  });

  test('holds nothing of what is changed, nor what people wrote', () => {
    const secret = 'hunter2-in-a-diff';
    const leaky = approval(undefined, policy(), {
      spec: {
        reason: secret,
        ticket: secret,
        change: { digest: 'd', preview: { diff: secret, truncated: false } } as never,
      },
    });
    expect(JSON.stringify(lineOf(next(leaky).step as Transition))).not.toContain(secret);
  });
});
