// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// From AdmissionReview v1 to the domain's request, and from an answer to what the API server accepts.
import { describe, expect, test } from 'vitest';
import { parseReview, reviewAnswer } from '../../../src/api/admission-review.ts';
import type { Json, JsonObject } from '../../../src/lib/json.ts';

const request: JsonObject = {
  uid: 'u-1',
  kind: { group: 'apps', version: 'v1', kind: 'Deployment' },
  resource: { group: 'apps', version: 'v1', resource: 'deployments' },
  operation: 'CREATE',
  namespace: 'prod',
  name: 'web',
  userInfo: { username: 'ci' },
  object: { kind: 'Deployment' },
};
const review = (over: JsonObject = {}): JsonObject => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { ...request, ...over },
});

describe('parseReview', () => {
  test('reads the least a review carries', () => {
    expect(parseReview(review())).toEqual({
      ok: true,
      request: {
        uid: 'u-1',
        operation: 'CREATE',
        group: 'apps',
        version: 'v1',
        kind: 'Deployment',
        resource: 'deployments',
        subresource: '',
        namespace: 'prod',
        name: 'web',
        requester: { username: 'ci', uid: '', groups: [] },
        dryRun: false,
        object: { kind: 'Deployment' },
      },
    });
  });

  test('reads the rest', () => {
    const extra = {
      'authentication.kubernetes.io/pod-name': ['p'],
      'authentication.kubernetes.io/pod-uid': ['p-uid'],
      'authentication.kubernetes.io/node-name': ['n'],
      'authentication.kubernetes.io/node-uid': ['n-uid'],
      'authentication.kubernetes.io/credential-id': ['JTI=1'],
      other: ['x'],
    };
    const parsed = parseReview(
      review({
        operation: 'DELETE',
        subResource: 'status',
        dryRun: true,
        object: null,
        oldObject: { a: 1 },
        options: { gracePeriodSeconds: 0 },
        userInfo: { username: 'ci', uid: 'u', groups: ['g'], extra },
      }),
    );
    expect(parsed.ok && parsed.request).toMatchObject({
      operation: 'DELETE',
      subresource: 'status',
      dryRun: true,
      oldObject: { a: 1 },
      options: { gracePeriodSeconds: 0 },
      requester: { uid: 'u', groups: ['g'], pod: { name: 'p', uid: 'p-uid' }, credential: 'JTI=1' },
    });
    expect(parsed.ok && parsed.request.requester.node).toEqual({ name: 'n', uid: 'n-uid' });
    expect(parsed.ok && 'object' in parsed.request).toBe(false);
  });

  test.each<[string, Json, object]>([
    ['a list', [], { problems: ['must be an object'] }],
    [
      'an empty object',
      {},
      {
        problems: [
          'apiVersion: must be admission.k8s.io/v1',
          'kind: must be AdmissionReview',
          'request: must be an object',
        ],
      },
    ],
    [
      'an older version',
      { ...review(), apiVersion: 'admission.k8s.io/v1beta1' },
      { uid: 'u-1', problems: ['apiVersion: must be admission.k8s.io/v1'] },
    ],
    ['no uid', review({ uid: null }), { problems: ['request.uid: must not be empty'] }],
    [
      'an empty username',
      review({ userInfo: { username: '' } }),
      { uid: 'u-1', problems: ['request.userInfo.username: must not be empty'] },
    ],
    ['no userInfo', review({ userInfo: null }), { uid: 'u-1', problems: ['request.userInfo: must be an object'] }],
    [
      'groups that are none',
      review({ userInfo: { username: 'a', groups: [1] } }),
      { uid: 'u-1', problems: ['request.userInfo.groups: must be a list of strings'] },
    ],
    [
      'an unknown operation',
      review({ operation: 'PATCH' }),
      { uid: 'u-1', problems: ['request.operation: must be one of CREATE, UPDATE, DELETE, CONNECT'] },
    ],
    [
      'an object of another type',
      review({ object: 'x' }),
      { uid: 'u-1', problems: ['request.object: must be an object', 'request.object: is required'] },
    ],
    [
      'an update without old object',
      review({ operation: 'UPDATE' }),
      { uid: 'u-1', problems: ['request.oldObject: is required'] },
    ],
    [
      'a dryRun of another type',
      review({ dryRun: 'no' }),
      { uid: 'u-1', problems: ['request.dryRun: must be true or false'] },
    ],
    [
      'a resource without name',
      review({ resource: { version: 'v1' } }),
      { uid: 'u-1', problems: ['request.resource.resource: must not be empty'] },
    ],
  ])('%s is refused with the path of what is wrong', (_, given, want) => {
    expect(parseReview(given)).toEqual({ ok: false, ...want });
  });
});

describe('reviewAnswer', () => {
  test('carries uid and verdict and nothing that is not there', () => {
    expect(reviewAnswer('u-1', {})).toBe(
      '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":true}}',
    );
  });

  test('carries a refusal whole', () => {
    const refusal = { code: 403, reason: 'StepUpRequired', message: 'm', details: { name: 'n' } };
    expect(JSON.parse(reviewAnswer('u-1', { refusal, warnings: ['w'], auditAnnotations: { policy: 'p' } }))).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: {
        uid: 'u-1',
        allowed: false,
        status: { status: 'Failure', ...refusal },
        warnings: ['w'],
        auditAnnotations: { policy: 'p' },
      },
    });
  });

  test('carries a patch with large integers as they came in, and none with a refusal', () => {
    const patch = [{ op: 'add', path: '/spec', value: { a: 9007199254740993n } }];
    const { response } = JSON.parse(reviewAnswer('u', { patch })) as { response: { patch: string; patchType: string } };
    expect(response.patchType).toBe('JSONPatch');
    expect(Buffer.from(response.patch, 'base64').toString()).toBe(
      '[{"op":"add","path":"/spec","value":{"a":9007199254740993}}]',
    );
    expect(reviewAnswer('u', { patch, refusal: { code: 403, reason: 'r', message: 'm' } })).not.toContain('patch');
  });
});
