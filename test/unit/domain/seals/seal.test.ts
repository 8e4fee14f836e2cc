// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Seals: what they bind, which keys make them, and what does not count without one.
import { describe, expect, test } from 'vitest';
import type { StepUpApproval, StepUpDecision } from '../../../../src/api/kinds.ts';
import { SealedReader } from '../../../../src/api/sealed-reader.ts';
import { Keyring } from '../../../../src/domain/seals/keyring.ts';
import {
  creationStatement,
  decisionStatement,
  releaseStatement,
  withSealedCreation,
  withSealedDecision,
  withSealedReleases,
} from '../../../../src/domain/seals/seal.ts';
import { tally } from '../../../../src/domain/votes/tally.ts';
import {
  approval,
  at,
  byHand,
  plan,
  policy,
  reserved,
  sealed,
  situation,
  word,
  written,
} from '../../../support/builders/domain.ts';
import { keptKey, keyringOf } from '../../../support/seals.ts';

const key = keptKey();
const keyring = keyringOf([key]);
const reader = new SealedReader(keyring);
const filed = approval();
const said = word(filed).spec;

describe('a keyring', () => {
  const statement = 'something';
  const seal = keyring.sign(statement);

  test('knows what it sealed, and nothing else', () => {
    expect(keyring.check(statement, seal)).toBe('Sealed');
    expect(keyring.check('something else', seal)).toBe('Broken');
    const [id, signature = ''] = seal.split(':');
    expect(keyring.check(statement, `${id}:${'A'.repeat(signature.length)}`)).toBe('Broken');
    expect(keyring.check(statement, seal.split(':')[0])).toBe('Broken');
    expect(keyring.check(statement, undefined)).toBe('Missing');
    expect(keyring.check(statement, '')).toBe('Missing');
    expect(keyringOf([keptKey()]).check(statement, seal)).toBe('UnknownKey');
    expect(keyring.check(statement, `constructor:${seal.split(':')[1]}`)).toBe('UnknownKey');
  });

  test('checks by all its keys, and seals by the newest that every replica can know', () => {
    const newer = keptKey(new Date('2026-02-01T00:00:00Z'));
    const seconds = (after: number) => () => Date.parse(newer.createdAt) + after * 1000;
    const alone = keyringOf([newer]).sign(statement);
    expect(keyringOf([newer, key], seconds(599)).sign(statement)).toBe(seal);
    expect(keyringOf([newer, key], seconds(600)).sign(statement)).toBe(alone);
    expect(keyringOf([newer, key]).check(statement, seal)).toBe('Sealed');
    expect(keyringOf([newer, key]).check(statement, alone)).toBe('Sealed');
  });

  test.each([
    ['no key', [], 'it has no key'],
    ['no PEM', [{ ...key, privateKey: 'secret' }], 'key 1: it is not PEM'],
    ['no instant', [key, { ...key, createdAt: 'soon' }], 'key 2: createdAt is not a timestamp'],
  ])('with %s is none, and quotes nothing', (_, kept, problem) => {
    expect(Keyring.of(kept, Date.now)).toBe(problem);
  });
});

describe('a seal binds', () => {
  const base = decisionStatement('prod', said);
  test.each<[string, Partial<typeof said>]>([
    ['the verdict', { verdict: 'Deny' }],
    ['the voter', { decidedBy: { username: 'bob', groups: ['approvers'] } }],
    ['the groups', { decidedBy: { username: 'alice', groups: ['admins'] } }],
    ['the instant', { decidedAt: at(61).toISOString() }],
    ['the approval', { approval: { ...said.approval, uid: 'another' } }],
    ['the digest', { approval: { name: said.approval.name, uid: said.approval.uid } }],
    ['the reason', { reason: 'because' }],
    ['the kind', { kind: 'Engine' }],
    ['a bypass', { bypass: true }],
  ])('%s', (_, other) => {
    expect(decisionStatement('prod', { ...said, ...other })).not.toBe(base);
  });

  test('the namespace, and what kind of thing it is', () => {
    expect(decisionStatement('stage', said)).not.toBe(base);
    expect(creationStatement('prod', said as never)).not.toBe(base);
  });

  test('not itself, nor what the API server fills in for what is absent', () => {
    expect(decisionStatement('prod', { ...said, seal: 'x' })).toBe(base);
    const { group: _, ...action } = { ...filed.spec.action, group: '' };
    const spec = { ...filed.spec, action };
    const defaulted = { ...spec, action: { ...action, group: '', subresource: '' }, change: { ...spec.change } };
    expect(creationStatement('prod', defaulted)).toBe(creationStatement('prod', spec));
    expect(creationStatement('prod', { ...spec, origin: 'Asked' })).not.toBe(creationStatement('prod', spec));
  });

  test('of a release the use, as it was recorded', () => {
    const [use] = reserved({ approvals: [filed], words: [word(filed)] }).status?.uses ?? [];
    const release = { use: 0, releasedAt: at(130).toISOString(), why: 'lost' };
    const statement = releaseStatement('uid', use, release);
    expect(releaseStatement('other', use, release)).not.toBe(statement);
    expect(releaseStatement('uid', use && { ...use, digest: 'other' }, release)).not.toBe(statement);
    expect(releaseStatement('uid', use, { ...release, use: 1 })).not.toBe(statement);
    expect(releaseStatement('uid', undefined, release)).not.toBe(statement);
  });
});

describe('what is read', () => {
  const stored = (spec: StepUpDecision['spec']) =>
    ({ apiVersion: 'v', kind: 'StepUpDecision', ...word(filed), spec }) as unknown as StepUpDecision;

  test('counts when it is sealed, and does not otherwise', () => {
    const count = (spec: StepUpDecision['spec']) => tally(filed, [reader.decision(stored(spec))], policy(), []);
    expect(count(withSealedDecision('prod', said, keyring)).received).toBe(1);
    const without = count(said);
    expect(without).toMatchObject({
      received: 0,
      decisions: [{ counted: false, why: 'it has no seal of stepup' }],
      tampered: ['decision uid-word-1: it has no seal of stepup'],
    });
    const denial = { ...withSealedDecision('prod', said, keyring), verdict: 'Deny' } as const;
    expect(count(denial).stopped).toBeUndefined();
    expect(count(denial).tampered).toEqual(['decision uid-word-1: its seal does not match its content']);
  });

  test('the creator votes by a sealed stamp only', () => {
    const applied = approval(undefined, policy(), { spec: byHand() });
    const count = (spec: typeof applied.spec) => {
      const object = { apiVersion: 'v', kind: 'StepUpApproval', ...applied, spec } as unknown as StepUpApproval;
      const one = reader.approval(object);
      return tally(one, [], policy(), [], [one]);
    };
    expect(count(withSealedCreation('prod', applied.spec, keyring))).toMatchObject({ received: 1, tampered: [] });
    const forged = count(applied.spec);
    expect(forged.received).toBe(0);
    expect(forged.missing).toMatch(/^the creator's vote does not count \(it has no seal/);
    const moved = { ...withSealedCreation('prod', applied.spec, keyring), requester: { username: 'other' } };
    expect(count(moved).received).toBe(0);
  });

  test('the same object is looked at once', () => {
    let checks = 0;
    const counting = new SealedReader({
      sign: (text) => keyring.sign(text),
      check: (text, seal) => {
        checks += 1;
        return keyring.check(text, seal);
      },
    });
    const object = { apiVersion: 'v', kind: 'StepUpApproval', ...filed } as unknown as StepUpApproval;
    expect(counting.approval(object)).toBe(counting.approval(object));
    expect(checks, 'not before somebody asks').toBe(0);
    expect(counting.approval(object).seals).toBe(counting.approval(object).seals);
    expect(checks).toBe(1);
  });
});

describe('releases', () => {
  const use = reserved({ approvals: [filed], words: [word(filed)] });
  const release = { use: 0, releasedAt: at(130).toISOString(), why: 'lost' };

  test('are sealed when they are added, and old ones left alone', () => {
    const status = { ...use.status, releases: [release] };
    const first = withSealedReleases(use, status, keyring);
    expect(first.releases?.[0]?.seal).toBeDefined();
    const again = sealed({ ...use, status: first });
    expect(withSealedReleases(again, first, keyring)).toBe(first);
    const object = { apiVersion: 'v', kind: 'StepUpApproval', ...use, status: first } as unknown as StepUpApproval;
    expect(reader.approval(object).seals.releases).toEqual(['Sealed']);
    const forged = { ...object, status: { ...first, releases: [release] } } as unknown as StepUpApproval;
    expect(reader.approval(forged).seals.releases).toEqual(['Missing']);
  });
});

test('a release of the use that an approval was created with binds that use', () => {
  const use = reserved({ approvals: [filed], words: [word(filed)] }).status?.uses?.[0];
  if (use === undefined) throw new Error('it is reserved');
  const one = approval(undefined, undefined, { spec: { origin: 'Auto', use }, status: {} });
  const status = { releases: [{ use: 0, releasedAt: at(130).toISOString(), why: 'lost' }] };
  const object = { ...one, status: withSealedReleases(one, status, keyring) } as unknown as StepUpApproval;
  expect(reader.approval(object).seals.releases).toEqual(['Sealed']);
  const moved = { ...object, spec: { ...object.spec, use: { ...use, digest: 'other' } } } as StepUpApproval;
  expect(reader.approval(moved).seals.releases).toEqual(['Broken']);
});

test('people are told once of what bears no seal, and again when it is something else', () => {
  const forged = { ...word(filed), seal: 'Missing' } as const;
  const first = plan(situation(filed, { decisions: [forged] }));
  const warnings = first.events.filter(({ reason }) => reason === 'Tampered');
  expect(warnings).toEqual([
    {
      type: 'Warning',
      reason: 'Tampered',
      note: 'ignored: decision uid-word-1: it has no seal of stepup',
    },
  ]);
  const told = written(filed, first);
  expect(told.status?.conditions?.find(({ type }) => type === 'Tampered')).toMatchObject({ status: 'True' });
  expect(plan(situation(told, { decisions: [forged] })).events).toEqual([]);
  const second = { ...word(filed, {}, 'uid-word-2'), seal: 'UnknownKey' } as const;
  expect(plan(situation(told, { decisions: [forged, second] })).events).toHaveLength(1);
  expect(plan(situation(told, { decisions: [] })).status?.conditions?.map(({ type }) => type)).not.toContain(
    'Tampered',
  );
});
