// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The container name that kubectl debug draws on every try does not bind; all else about the container does.
import { expect, test } from 'vitest';
import type { Change } from '../../../../src/domain/change/change.ts';
import { changeOf } from '../../../../src/domain/change/change-of.ts';
import type { CoverageRow } from '../../../../src/domain/coverage/coverage.ts';
import type { AdmissionRequest } from '../../../../src/domain/model/request.ts';
import type { Json, JsonObject } from '../../../../src/lib/json.ts';

const row: CoverageRow = {
  shape: 'EphemeralContainers',
  operations: ['UPDATE'],
  apiGroups: [''],
  resources: ['pods/ephemeralcontainers'],
  reach: 'Selected',
};

function debugged(before: readonly Json[], after: readonly Json[]): Change {
  const pod = (ephemeralContainers: readonly Json[], generation: number): JsonObject => ({
    metadata: { uid: 'p', generation, resourceVersion: '1' },
    spec: ephemeralContainers.length === 0 ? {} : { ephemeralContainers },
  });
  const request = {
    uid: 'r',
    operation: 'UPDATE',
    group: '',
    resource: 'pods',
    subresource: 'ephemeralcontainers',
    object: pod(after, 2),
    oldObject: pod(before, 1),
  } as unknown as AdmissionRequest;
  const change = changeOf(row, request, { selectorKeys: [] });
  if (typeof change === 'string') throw new Error(`expected a change, got ${change}`);
  return change;
}

const container = (name: string, image = 'busybox:1', more: JsonObject = {}): Json => ({ name, image, ...more });
const first = debugged([], [container('debugger-wtdk7')]);

test('another drawn name is the same change, and shows the same effect', () => {
  const second = debugged([], [container('debugger-m4vv6')]);
  expect(second.digest).toBe(first.digest);
  expect(second.effect).toEqual(first.effect);
  expect(first.effect?.after).not.toBe(first.effect?.before);
});

test.each<[string, readonly Json[], readonly Json[]]>([
  ['another image', [], [container('debugger-wtdk7', 'busybox:2')]],
  ['a name of its own', [], [container('shell')]],
  ['a name that only begins like a drawn one', [], [container('debugger-wtdk7a')]],
  ['another target', [], [container('debugger-wtdk7', 'busybox:1', { targetContainerName: 'c' })]],
  ['two containers', [], [container('debugger-wtdk7'), container('debugger-m4vv6')]],
  [
    'a second container of a drawn name',
    [container('debugger-wtdk7')],
    [container('debugger-wtdk7'), container('debugger-m4vv6')],
  ],
])('%s is another change', (_, before, after) => {
  expect(debugged(before, after).digest).not.toBe(first.digest);
});

test('a second drawn container is an effect of its own', () => {
  const { effect } = debugged(
    [container('debugger-wtdk7')],
    [container('debugger-wtdk7'), container('debugger-m4vv6')],
  );
  expect(effect?.after).not.toBe(effect?.before);
});
