// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// When a policy says Tampered, and what ends it.
import { describe, expect, test } from 'vitest';
import {
  clearedAnnotation,
  policyTamperedCondition,
  type TamperedCondition,
  type Watchful,
} from '../../../../src/domain/integrity/policy-tampering.ts';
import { at, start } from '../../../support/builders/domain.ts';

const seen = {
  at: at(100),
  what: 'ValidatingAdmissionPolicy stepup-guard was deleted by someone else and has been restored',
};

function policy(cleared?: Date | string, stored?: TamperedCondition): Watchful {
  const text = typeof cleared === 'string' ? cleared : cleared?.toISOString();
  return {
    metadata: {
      creationTimestamp: start.toISOString(),
      ...(text !== undefined && { annotations: { [clearedAnnotation]: text } }),
    },
    ...(stored !== undefined && { status: { conditions: [stored] } }),
  };
}

const reported = policyTamperedCondition(policy(), seen, at(100)) as TamperedCondition;

describe('Tampered', () => {
  test('is absent while nothing has happened', () => {
    expect(policyTamperedCondition(policy(), undefined, at(100))).toBeUndefined();
  });

  test('says what happened, when, and how to clear it', () => {
    expect(reported).toEqual({
      type: 'Tampered',
      status: 'True',
      reason: 'ChangedByOthers',
      message:
        'ValidatingAdmissionPolicy stepup-guard was deleted by someone else and has been restored at 2026-01-01T12:01:40.000Z; find out who did it in the audit log, then clear this: kubectl annotate stepuppolicies --all --overwrite stepup.dev/tampered-cleared="$(date -u +%FT%TZ)"',
      lastTransitionTime: '2026-01-01T12:01:40.000Z',
    });
  });

  test('is no concern of a policy that was made later', () => {
    expect(policyTamperedCondition(policy(), { ...seen, at: at(-1) }, at(100))).toBeUndefined();
  });

  test('outlives the process that saw it', () => {
    expect(policyTamperedCondition(policy(undefined, reported), undefined, at(900))).toEqual(reported);
  });

  test('stays as it is during a loop, and tells of a later one', () => {
    const soon = { ...seen, at: at(100.5) };
    expect(policyTamperedCondition(policy(undefined, reported), soon, at(101))).toEqual(reported);
    const later = { at: at(200), what: 'APIService v1alpha1.stepup.dev was pointed elsewhere' };
    expect(policyTamperedCondition(policy(undefined, reported), later, at(200))).toMatchObject({
      status: 'True',
      message: expect.stringContaining('APIService v1alpha1.stepup.dev'),
      lastTransitionTime: at(200).toISOString(),
    });
  });

  test.each<[string, Date | string]>([
    ['an instant before it', at(99)],
    ['an instant that is yet to come', at(5000)],
    ['no instant', 'yes'],
  ])('is not cleared by %s', (_, cleared) => {
    expect(policyTamperedCondition(policy(cleared, reported), seen, at(300))).toEqual(reported);
  });

  test('is cleared by an instant since then', () => {
    expect(policyTamperedCondition(policy(at(200), reported), seen, at(300))).toEqual({
      type: 'Tampered',
      status: 'False',
      reason: 'Cleared',
      message: 'cleared by annotation stepup.dev/tampered-cleared at 2026-01-01T12:03:20.000Z',
      lastTransitionTime: at(300).toISOString(),
    });
  });

  test('is not cleared by an instant before one of the same second that was not told of', () => {
    const soon = { ...seen, at: at(100.5) };
    expect(policyTamperedCondition(policy(at(100.2), reported), soon, at(300))).toEqual(reported);
    expect(policyTamperedCondition(policy(at(100.6), reported), soon, at(300))?.status).toBe('False');
  });

  test('comes back for what happens in the moment of clearing', () => {
    const cleared = policyTamperedCondition(policy(at(200), reported), seen, at(300)) as TamperedCondition;
    expect(policyTamperedCondition(policy(at(200), cleared), { ...seen, at: at(201) }, at(301))?.status).toBe('True');
    expect(policyTamperedCondition(policy(at(200), cleared), { ...seen, at: at(199) }, at(301))?.status).toBe('False');
  });

  test('stays cleared for what was cleared, and comes back for what happens after', () => {
    const cleared = policyTamperedCondition(policy(at(200), reported), seen, at(300)) as TamperedCondition;
    expect(policyTamperedCondition(policy(at(200), cleared), seen, at(400))).toEqual(cleared);
    expect(policyTamperedCondition(policy(undefined, cleared), undefined, at(400))).toEqual(cleared);
    const again = { ...seen, at: at(500) };
    expect(policyTamperedCondition(policy(at(200), cleared), again, at(500))?.status).toBe('True');
  });
});
