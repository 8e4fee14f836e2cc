// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Argo CD's health of approvals in every phase, and of policies. On the way to each another object is only one step away.
import { describe, expect, test } from 'vitest';
import type { Phase } from '../../../src/domain/model/approval.ts';
import { healthOf } from './lua.ts';

const approval = (status?: object) => ({ apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpApproval', status });
const is = (type: string, value: string, message = '') => ({ type, status: value, message });

describe('an approval', () => {
  // The type names them all.
  const expected: Readonly<Record<Phase, string>> = {
    Pending: 'Suspended',
    Approved: 'Healthy',
    Reserved: 'Healthy',
    Consumed: 'Healthy',
    Denied: 'Degraded',
    TimedOut: 'Degraded',
    Expired: 'Degraded',
    Withdrawn: 'Degraded',
    Revoked: 'Degraded',
    Superseded: 'Degraded',
  };

  test.each(Object.entries(expected))('%s is %s', async (phase, status) => {
    expect(await healthOf(approval({ phase, conditions: [is('Tampered', 'False')] }))).toMatchObject({ status });
  });

  test('without a status it waits, as one that nobody has counted yet', async () => {
    expect(await healthOf(approval())).toEqual({ status: 'Suspended', message: 'waits for approval' });
  });

  test('a waiting one says what is missing', async () => {
    const status = { phase: 'Pending', votes: '1/2', missing: '1 of 2 approvals by group "approvers" missing – still' };
    expect(await healthOf(approval(status))).toEqual({
      status: 'Suspended',
      message: 'waits for approval: 1/2, 1 of 2 approvals by group "approvers" missing – still',
    });
  });

  test.each([
    ['Tampered', 'a vote bears no seal'],
    ['ReviewRequired', 'nobody has reviewed the broken glass'],
  ])('%s is Degraded while True, whatever its phase, and not while False', async (type, message) => {
    const used = (value: string) => approval({ phase: 'Consumed', conditions: [is(type, value, message)] });
    expect(await healthOf(used('True'))).toEqual({ status: 'Degraded', message });
    expect(await healthOf(used('False'))).toMatchObject({ status: 'Healthy' });
  });

  test('a phase of a later release is no success', async () => {
    expect(await healthOf(approval({ phase: 'Invented' }))).toMatchObject({ status: 'Degraded' });
  });
});

describe('a policy', () => {
  const policy = (ready?: object, ...others: readonly object[]) => ({
    kind: 'StepUpPolicy',
    metadata: { name: 'deploys', generation: 3 },
    ...(ready === undefined ? {} : { status: { conditions: [ready, ...others] } }),
  });
  const ready = (status: string, observedGeneration = 3) => ({ ...is('Ready', status, 'said'), observedGeneration });

  test.each([
    ['nothing said yet', policy(), 'Progressing', 'not in force yet'],
    ['in force', policy(ready('True')), 'Healthy', 'said'],
    ['an older generation in force', policy(ready('True', 2)), 'Progressing', 'not in force yet'],
    ['cannot be in force', policy(ready('False')), 'Degraded', 'said'],
    ['not known', policy(ready('Unknown')), 'Progressing', 'said'],
    [
      'tampered with',
      policy(ready('True'), is('Tampered', 'True', 'an entry was edited')),
      'Degraded',
      'an entry was edited',
    ],
    ['no longer tampered with', policy(ready('True'), is('Tampered', 'False', 'cleared')), 'Healthy', 'said'],
  ])('%s', async (_, object, status, message) => {
    expect(await healthOf(object)).toEqual({ status, message });
  });
});
