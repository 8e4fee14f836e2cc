// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What an engine is asked, what its answer comes to, and what its word counts for among the votes.
import { describe, expect, test } from 'vitest';
import { engineAnswerOf } from '../../../../src/domain/engines/engine-answer.ts';
import { askOf, type Considered, engineReview, enginesToAsk } from '../../../../src/domain/engines/engine-review.ts';
import type { Approval, ApprovalStatus, Decision } from '../../../../src/domain/model/approval.ts';
import type { Requirement } from '../../../../src/domain/model/policy.ts';
import { tally } from '../../../../src/domain/votes/tally.ts';
import type { Json } from '../../../../src/lib/json.ts';
import {
  approval,
  at,
  byHand,
  decided,
  deployer,
  deployment,
  pendingSeconds,
  plan,
  policy,
  request,
  situation,
  word,
} from '../../../support/builders/domain.ts';

const rules: Requirement = { name: 'rules', engine: 'opa' };
const people: Requirement = { name: 'people', approvers: { groups: ['approvers'] } };
const needing = (...require: readonly Requirement[]) => policy({ approval: { require } });
const both = needing(rules, people);
const on = approval(request(), both);
const engineWord = (spec: Partial<Decision['spec']> = {}, uid = 'uid-engine') =>
  word(on, { kind: 'Engine', engine: { name: 'opa', rule: 'r1' }, decidedBy: { username: 'stepup' }, ...spec }, uid);
const abstaining = (why: string): Approval => ({ ...on, status: { engines: [{ name: 'opa', abstained: why }] } });

describe('the word of an engine', () => {
  test.each<[string, number, Partial<Decision['spec']>]>([
    ['fills its requirement', 1, {}],
    ['under another name fills nothing', 0, { engine: { name: 'other', rule: 'r1' } }],
    ['without a name fills nothing', 0, { engine: undefined } as never],
    ['that is not stamped fills nothing', 0, { decidedBy: undefined } as never],
    ['of another kind fills nothing', 0, { kind: 'Human' }],
    ['about another digest fills nothing', 0, { approval: { ...word(on).spec.approval, digest: 'sha256:0' } }],
  ])('%s', (_, want, spec) => {
    expect(tally(on, [engineWord(spec)], both, []).received).toBe(want);
  });

  test('without a seal of ours fills nothing, and is told', () => {
    const forged = { ...engineWord(), seal: 'Missing' as const };
    const counted = tally(on, [forged], both, []);
    expect(counted).toMatchObject({ received: 0, missingEngines: ['opa'] });
    expect(counted.tampered).toHaveLength(1);
  });

  test('is no person’s: of an approver’s name it still fills no seat of people', () => {
    const by = { username: 'alice', groups: ['approvers'] };
    expect(tally(on, [engineWord({ decidedBy: by })], both, [])).toMatchObject({ received: 1, missingEngines: [] });
    expect(tally(on, [engineWord({ decidedBy: by })], needing(people), []).received).toBe(0);
  });

  test('is not taken by a person, however named, nor does that name take it', () => {
    const person = word(on, { decidedBy: { username: 'engine opa', groups: ['approvers'] } });
    expect(tally(on, [person], both, [])).toMatchObject({ received: 1, missingEngines: ['opa'] });
    expect(tally(on, [person, engineWord({})], both, []).received).toBe(2);
    expect(tally(on, [engineWord({}), person], both, []).received).toBe(2);
  });

  test('counts once, however often it is given', () => {
    const twice = needing({ ...rules, count: 2 });
    expect(tally(on, [engineWord(), engineWord({}, 'uid-again')], twice, []).received).toBe(1);
  });

  test('that denies is final, that revokes stops nothing', () => {
    const stopped = (verdict: Decision['spec']['verdict'], under = both) =>
      tally(on, [engineWord({ verdict })], under, []).stopped;
    expect(stopped('Deny')).toMatchObject({ verdict: 'Deny', by: 'engine opa' });
    expect(stopped('Revoke')).toBeUndefined();
    expect(stopped('Deny', needing(people)), 'the policy does not ask it').toBeUndefined();
  });

  test('lets the request pass with the person’s, and neither alone does', () => {
    const outcome = (...words: readonly Decision[]) => decided({ policy: both, approvals: [on], words }).outcome;
    expect(outcome(engineWord(), word(on))).toBe('Allowed');
    expect(outcome(engineWord())).toBe('NeedsApproval');
    expect(outcome(word(on))).toBe('NeedsApproval');
  });
});

describe('what is missing', () => {
  test('names the engine, and why it abstained', () => {
    expect(tally(on, [], both, []).missing).toBe('the approval of engine opa, 1 of 1 approval by group approvers');
    expect(tally(abstaining('no rule'), [word(on)], both, []).missing).toBe(
      'the approval of engine opa (engine opa: abstained: no rule)',
    );
  });

  test.each<[string, boolean, readonly Requirement[], readonly Approval[], readonly Decision[]]>([
    ['an engine only', true, [rules], [], []],
    ['an engine only, once it is filed', true, [rules], [on], []],
    ['an engine that abstained', false, [rules], [abstaining('no rule')], []],
    ['an engine and a person', false, [rules, people], [on], []],
    ['an engine, the person has approved', true, [rules, people], [on], [word(on)]],
    ['a person, the engine has approved', false, [rules, people], [on], [engineWord()]],
  ])('%s: worth asking again in a second: %s', (_, want, require, approvals, words) => {
    expect(decided({ policy: needing(...require), approvals, words })).toMatchObject({ waitsForEngines: want });
  });
});

describe('the status', () => {
  const statusWith = (abstentions: readonly { name: string; abstained: string }[], one = on, words: Decision[] = []) =>
    plan(situation(one, { policy: both, decisions: words, abstentions })).status as ApprovalStatus;

  test('says which engine abstained and why, and keeps it where this operator has not asked', () => {
    const said = statusWith([{ name: 'opa', abstained: 'no rule' }]);
    expect(said.engines).toEqual([{ name: 'opa', abstained: 'no rule' }]);
    expect(said.missing).toContain('(engine opa: abstained: no rule)');
    const stored = { ...on, status: said };
    expect(statusWith([{ name: 'opa', abstained: 'other' }], stored).engines).toEqual([
      { name: 'opa', abstained: 'other' },
    ]);
    expect(plan(situation(stored, { policy: both })).status).toBeUndefined();
  });

  test('says nothing of it once the engine has decided', () => {
    const stored = { ...on, status: statusWith([{ name: 'opa', abstained: 'no rule' }]) };
    expect(statusWith([], stored, [engineWord()])).not.toHaveProperty('engines');
  });
});

describe('an engine', () => {
  const considered = (over: Partial<Considered> = {}): Considered => ({
    approval: on,
    decisions: [],
    policy: both,
    policies: [both],
    others: [],
    seen: { kind: 'Nothing' },
    now: at(60),
    ...over,
  });

  test.each<[string, readonly string[], Partial<Considered>]>([
    ['is asked while the approval is pending', ['opa'], {}],
    ['is asked though the person has approved', ['opa'], { decisions: [word(on)] }],
    ['is not asked once it has decided', [], { decisions: [engineWord()] }],
    ['is not asked once somebody has denied', [], { decisions: [word(on, { verdict: 'Deny' })] }],
    ['is not asked once the pending time is over', [], { now: at(pendingSeconds) }],
    ['is not asked once the approval has ended', [], { approval: { ...on, status: { phase: 'Denied' } } }],
    ['is not asked where the policy requires none', [], { policy: needing(people) }],
  ])('%s', (_, want, over) => {
    expect(enginesToAsk(considered(over))).toEqual(want);
  });

  test('everything that people are shown, and what was done before', () => {
    const used = (name: string, second: number, status: ApprovalStatus = { phase: 'Consumed', evidence: 'Observed' }) =>
      approval(request(), both, {
        name,
        uid: `uid-${name}`,
        status: {
          ...status,
          uses: [
            {
              attemptKey: 'k',
              digest: `sha256:${name}`,
              base: { kind: 'Deletion' },
              reservedAt: at(second).toISOString(),
            },
          ],
        },
      });
    const lost = used('lost', -50, { phase: 'Expired', releases: [{ use: 0, releasedAt: '', why: '' }] });
    const others = [used('older', -200), used('newer', -100), lost, approval(request(), both, { name: 'unused' })];
    const pod = { name: 'runner-1', uid: 'uid-pod' };
    const node = { name: 'node-1', uid: 'uid-node' };
    const from = { ...deployer, pod, node, credential: 'JTI=1' };
    const asked = approval(request({ requester: from }), both, {
      spec: {
        requester: { username: from.username, uid: from.uid, pod, node, credential: 'JTI=1', owners: ['olive'] },
        reason: 'fix',
        ticket: 'OPS-7',
        change: {
          digest: 'sha256:1',
          askedOn: { uid: 'uid-web', generation: 1 },
          preview: { diff: '+1', truncated: false },
        },
      },
    });
    const risky = { ...both, spec: { ...both.spec, risk: { level: 'High', irreversible: true } } };
    const given = considered({
      approval: asked,
      policy: risky,
      others,
      seen: { kind: 'State', object: deployment('web:1', 2), isNext: false },
      decisions: [word(asked, { reason: 'ok' })],
    });
    expect(engineReview('opa', given)).toMatchInlineSnapshot(`
      {
        "action": {
          "group": "apps",
          "name": "web",
          "namespace": "prod",
          "objectUID": "uid-web",
          "operation": "UPDATE",
          "resource": "deployments",
          "subresource": "",
          "version": "v1",
        },
        "apiVersion": "stepup.dev/v1alpha1",
        "approval": {
          "createdAt": "2026-01-01T12:00:00.000Z",
          "name": "production-deploys-1",
          "namespace": "prod",
          "origin": "Denied",
          "pendingUntil": "2026-01-01T13:00:00.000Z",
          "reason": "fix",
          "ticket": "OPS-7",
          "uid": "uid-approval-1",
        },
        "change": {
          "digest": "sha256:1",
          "preview": {
            "diff": "+1",
            "truncated": false,
          },
          "targetChangedSinceAsked": true,
        },
        "engine": "opa",
        "history": {
          "firstTime": false,
          "uses": [
            {
              "approval": "newer",
              "digest": "sha256:newer",
              "evidence": "Observed",
              "phase": "Consumed",
              "policy": "production-deploys",
              "usedAt": "2026-01-01T11:58:20.000Z",
            },
            {
              "approval": "older",
              "digest": "sha256:older",
              "evidence": "Observed",
              "phase": "Consumed",
              "policy": "production-deploys",
              "usedAt": "2026-01-01T11:56:40.000Z",
            },
          ],
        },
        "kind": "EngineReview",
        "policy": {
          "name": "production-deploys",
          "risk": {
            "irreversible": true,
            "level": "High",
          },
        },
        "requester": {
          "credential": "JTI=1",
          "node": {
            "name": "node-1",
            "uid": "uid-node",
          },
          "owners": [
            "olive",
          ],
          "pod": {
            "name": "runner-1",
            "uid": "uid-pod",
          },
          "serviceAccount": {
            "name": "deployer",
            "namespace": "ci",
          },
          "uid": "uid-deployer",
          "username": "system:serviceaccount:ci:deployer",
        },
        "time": "2026-01-01T12:01:00.000Z",
        "votes": {
          "decisions": [
            {
              "decidedAt": "2026-01-01T12:01:00.000Z",
              "decidedBy": "alice",
              "reason": "ok",
              "verdict": "Approve",
            },
          ],
          "received": 1,
          "required": 2,
        },
      }
    `);
    expect(askOf(engineReview('opa', given), 'opa')).toEqual({ input: engineReview('opa', given) });
    expect(askOf(engineReview('opa', given), 'stepup')).toEqual(engineReview('opa', given));
  });

  test('is shown no content that stepup itself has not seen', () => {
    const claimed = { digest: 'sha256:1', preview: { diff: 'harmless', truncated: false } };
    const asked = approval(request(), both, { spec: { ...byHand(), change: claimed } });
    expect(engineReview('opa', considered({ approval: asked })).change).toEqual({
      digest: 'sha256:1',
      targetChangedSinceAsked: 'unknown',
    });
    const preview = { diff: 'seen', truncated: true, verifiedAt: at(1).toISOString() };
    const seen = { ...asked, status: { preview } };
    expect(engineReview('opa', considered({ approval: seen })).change.preview).toEqual({
      diff: 'seen',
      truncated: true,
    });
  });

  test('is told nothing that only admission could have written where the seal is missing', () => {
    const asked = approval(request(), both, {
      spec: {
        requester: { username: deployer.username, node: { name: 'trusted' }, owners: ['nobody'] },
        change: { askedOn: { uid: 'uid-web', generation: 1 } },
      },
    });
    const seen = { kind: 'State', object: deployment(), isNext: false } as const;
    const told = (one: Approval) => {
      const { requester, change } = engineReview('opa', considered({ approval: one, seen }));
      return [requester.node?.name, requester.owners, change.targetChangedSinceAsked];
    };
    expect(told(asked)).toEqual(['trusted', ['nobody'], false]);
    expect(told({ ...asked, seals: { ...asked.seals, creation: 'Missing' } })).toEqual([
      undefined,
      undefined,
      'unknown',
    ]);
  });

  test('is told that it is the first time under this policy, and what was done under others', () => {
    const uses = [
      { attemptKey: 'k', digest: 'd', base: { kind: 'Deletion' as const }, reservedAt: at(0).toISOString() },
    ];
    const under = (name: string) => approval(request(), policy({}, name), { status: { phase: 'Consumed', uses } });
    const history = (name: string) => engineReview('opa', considered({ others: [under(name)] })).history;
    expect(history('other')).toMatchObject({ firstTime: true, uses: [{ policy: 'other' }] });
    expect(history('production-deploys')).toMatchObject({ firstTime: false, uses: [{ policy: 'production-deploys' }] });
  });

  test('is told at most ten uses', () => {
    const uses = Array.from({ length: 12 }, (_, i) => ({
      attemptKey: 'k',
      digest: 'd',
      base: { kind: 'Deletion' as const },
      reservedAt: at(i).toISOString(),
    }));
    const many = approval(request(), both, { name: 'many', status: { phase: 'Consumed', uses } });
    const { history } = engineReview('opa', considered({ others: [many] }));
    expect([history.firstTime, history.uses.length, history.uses[0]?.usedAt]).toEqual([
      false,
      10,
      at(11).toISOString(),
    ]);
  });
});

describe('an answer', () => {
  const yes = { verdict: 'Approve', reason: 'fine', rule: 'r1' };

  test.each<[string, Json, object]>([
    ['Approve', yes, { result: 'Approve', answer: yes }],
    ['Deny', { ...yes, verdict: 'Deny' }, { result: 'Deny', answer: { ...yes, verdict: 'Deny' } }],
    ['with members that nobody knows', { ...yes, more: 1 }, { result: 'Approve', answer: yes }],
    [
      'Abstain',
      { verdict: 'Abstain', reason: 'no rule' },
      { result: 'Abstain', answer: { verdict: 'Abstain', why: 'no rule' } },
    ],
    ['Abstain without a word', { verdict: 'Abstain' }, { answer: { why: 'the answer has no reason' } }],
  ])('%s counts, plain and wrapped', (_, body, want) => {
    expect(engineAnswerOf(body, 'stepup')).toMatchObject(want);
    expect(engineAnswerOf({ result: body }, 'opa')).toMatchObject(want);
  });

  test.each<[string, Json]>([
    ['null', null],
    ['true, as many OPA policies answer', true],
    ['a list', [yes]],
    ['another verdict', { ...yes, verdict: 'approve' }],
    ['a verdict that is no text', { ...yes, verdict: true }],
    ['no verdict', { reason: 'fine', rule: 'r1' }],
    ['no reason', { verdict: 'Approve', rule: 'r1' }],
    ['a reason of blanks', { ...yes, reason: ' ' }],
    ['a reason too long to be stored', { ...yes, reason: 'x'.repeat(1025) }],
    ['no rule', { verdict: 'Deny', reason: 'fine' }],
    ['a rule that is no text', { ...yes, rule: 1 }],
    ['a rule too long to be stored', { ...yes, rule: 'x'.repeat(254) }],
  ])('%s is none, plain and wrapped', (_, body) => {
    const none = { result: 'BadAnswer', answer: { verdict: 'Abstain' } };
    expect(engineAnswerOf(body, 'stepup')).toMatchObject(none);
    expect(engineAnswerOf({ result: body }, 'opa')).toMatchObject(none);
  });

  test('in the other format is none', () => {
    expect(engineAnswerOf({ result: yes }, 'stepup').result).toBe('BadAnswer');
    expect(engineAnswerOf(yes, 'opa')).toEqual({
      result: 'Abstain',
      answer: { verdict: 'Abstain', why: 'its rule is undefined for this input' },
    });
  });

  test('can be stored and shown whatever it holds', () => {
    const { answer } = engineAnswerOf({ ...yes, reason: `a\u202e${'\u0007'.repeat(1000)}` }, 'stepup');
    if (answer.verdict === 'Abstain') throw new Error('it is an answer');
    expect(answer.reason.startsWith('a\\u202e\\u0007')).toBe(true);
    expect(answer.reason.length).toBeLessThanOrEqual(1024);
    const { answer: silent } = engineAnswerOf({ verdict: 'Abstain', reason: '\u0007'.repeat(1000) }, 'stepup');
    expect(silent.verdict === 'Abstain' && silent.why.length).toBeLessThanOrEqual(256);
  });
});
