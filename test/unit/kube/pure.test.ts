// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The small pure parts of src/kube: instants, waits, paths, failures.

import { describe, expect, test } from 'vitest';
import { stepUpApprovals, stepUpPolicies } from '../../../src/api/own-resources.ts';
import {
  isAlreadyExists,
  isConflict,
  isGone,
  isInvalid,
  isNotFound,
  isTransient,
  statusError,
  unlessNotFound,
} from '../../../src/kube/http/api-error.ts';
import { cutToBytes } from '../../../src/kube/objects/events.ts';
import { formatMicroTime } from '../../../src/kube/objects/microtime.ts';
import { collectionPath, creationPath, objectPath } from '../../../src/kube/objects/resource.ts';
import { namespaces, pods } from '../../../src/kube/objects/resources.ts';
import { backoffMs } from '../../../src/kube/time/backoff.ts';

describe('MicroTime', () => {
  test.each([
    ['2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.678000Z'],
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000000Z'],
    ['2026-01-02T03:04:05+02:00', '2026-01-02T01:04:05.000000Z'],
  ])('%s has six fraction digits: %s', (given, want) => {
    expect(formatMicroTime(new Date(given))).toBe(want);
  });
});

describe('backoff', () => {
  const backoff = { baseMs: 100, capMs: 5_000 };
  test.each([
    [1, 100],
    [2, 200],
    [5, 1_600],
    [7, 5_000],
    [10_000, 5_000],
  ])('after %i failures waits at most %i ms and at least half of it', (failures, wantMs) => {
    expect(backoffMs(backoff, failures, () => 1)).toBe(wantMs);
    expect(backoffMs(backoff, failures, () => 0)).toBe(wantMs / 2);
  });
});

describe('paths', () => {
  test.each([
    ['core, one namespace', collectionPath(pods, 'prod'), '/api/v1/namespaces/prod/pods'],
    ['core, all namespaces', collectionPath(pods), '/api/v1/pods'],
    ['core, cluster-scoped', objectPath(namespaces, { name: 'prod' }), '/api/v1/namespaces/prod'],
    [
      'group, cluster-scoped ignores a namespace',
      objectPath(stepUpPolicies, { namespace: 'prod', name: 'p' }),
      '/apis/stepup.dev/v1alpha1/stepuppolicies/p',
    ],
    [
      'group, subresource',
      objectPath(stepUpApprovals, { namespace: 'prod', name: 'a' }, 'status'),
      '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals/a/status',
    ],
    ['escaped', objectPath(namespaces, { name: 'a/b?c' }), '/api/v1/namespaces/a%2Fb%3Fc'],
  ])('%s', (_name, path, want) => {
    expect(path).toBe(want);
  });

  test.each(['', '.', '..'])('the name %j is refused, since it would lead elsewhere', (name) => {
    expect(() => objectPath(namespaces, { name })).toThrow(RangeError);
  });

  test('a namespaced object without a namespace is refused', () => {
    expect(() => objectPath(pods, { name: 'x' })).toThrow(RangeError);
    expect(() => creationPath(pods, undefined)).toThrow(RangeError);
  });
});

describe('failures', () => {
  const status = (code: number, reason: string, details?: object) =>
    statusError('create stepupapprovals prod/x', code, { kind: 'Status', code, reason, message: 'why', details });

  test('the message says what was attempted', () => {
    expect(status(409, 'AlreadyExists').message).toBe('create stepupapprovals prod/x: 409 AlreadyExists: why');
  });

  test('a body that is no Status leaves the HTTP status', () => {
    expect(statusError('get pods a/b', 502, undefined).message).toBe('get pods a/b: 502');
  });

  test('a conflict and a taken name are told apart', () => {
    expect([isConflict(status(409, 'Conflict')), isAlreadyExists(status(409, 'Conflict'))]).toEqual([true, false]);
    expect([isConflict(status(409, 'AlreadyExists')), isAlreadyExists(status(409, 'AlreadyExists'))]).toEqual([
      false,
      true,
    ]);
  });

  test('each predicate knows its status, and nothing else', () => {
    const predicates = [isNotFound, isGone, isInvalid, isTransient];
    const verdicts = (code: number) => predicates.map((is) => is(status(code, '')));
    expect(verdicts(404)).toEqual([true, false, false, false]);
    expect(verdicts(410)).toEqual([false, true, false, false]);
    expect(verdicts(422)).toEqual([false, false, true, false]);
    expect(verdicts(429)).toEqual([false, false, false, true]);
    expect(verdicts(503)).toEqual([false, false, false, true]);
    expect(predicates.map((is) => is(new Error('404')))).toEqual([false, false, false, false]);
  });

  test('Retry-After is taken from the header, else from the Status', () => {
    expect(statusError('x', 429, {}, '7').retryAfterSeconds).toBe(7);
    expect(status(429, 'TooManyRequests', { retryAfterSeconds: 3 }).retryAfterSeconds).toBe(3);
    expect(status(429, 'TooManyRequests').retryAfterSeconds).toBeUndefined();
  });
});

describe('notes of events', () => {
  test.each([
    ['short enough', 'abc', 3, 'abc'],
    ['too long', 'abcdef', 5, 'ab…'],
    ['never within a character', 'aéé', 4, 'a…'],
  ])('%s', (_name, text, maxBytes, want) => {
    expect(cutToBytes(text, maxBytes)).toBe(want);
  });
});

describe('unlessNotFound', () => {
  test('has nothing where there is nothing', async () => {
    expect(await unlessNotFound(Promise.reject(statusError('get', 404, {})))).toBeUndefined();
  });
  test('has what there is', async () => {
    expect(await unlessNotFound(Promise.resolve('it'))).toBe('it');
  });
  test.each([401, 403, 409, 410, 500, 503])(
    'rejects where the answer is %i: nobody knows what there is',
    async (status) => {
      const error = statusError('get', status, {});
      await expect(unlessNotFound(Promise.reject(error))).rejects.toBe(error);
    },
  );
});
