// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A preview is made in the process that decides, of what a gated account sends: it must never take long.
import { expect, test } from 'vitest';
import { previewOf } from '../../../../src/domain/filing/preview.ts';
import type { AdmissionRequest } from '../../../../src/domain/model/request.ts';

const configMap = (lines: number, value: string) => ({
  metadata: { name: 'big' },
  data: Object.fromEntries(Array.from({ length: lines }, (_, i) => [`k${i}`, `${value} ${i}`])),
});
const request: AdmissionRequest = {
  uid: 'u',
  operation: 'UPDATE',
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  resource: 'configmaps',
  subresource: '',
  namespace: 'prod',
  name: 'big',
  requester: { username: 'u', uid: '', groups: [] },
  dryRun: false,
};
const preview = (from: number, to: number) => {
  const operation = from === 0 ? 'CREATE' : 'UPDATE';
  const objects = { object: configMap(to, 'new'), oldObject: configMap(from, 'old') };
  return previewOf({ ...request, operation, ...objects }, new Uint8Array(32));
};

test('a change of thousands of lines is shown by its parts, soon, and within bounds', () => {
  const startedAt = performance.now();
  const { diff, truncated } = preview(8_000, 8_000);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
  expect(truncated).toBe(true);
  expect(Buffer.byteLength(diff)).toBeLessThanOrEqual(32 * 1024);
  const above = '# truncated: the change is larger, and an approval also covers what is not shown\n';
  expect(diff.startsWith(`${above}--- before\n+++ after\n-data:\n-  k0: old 0\n`)).toBe(true);
  expect(diff).toContain('\n+data:\n+  k0: new 0\n');
});

test('a large new object is shown whole where it fits', () => {
  const { diff, truncated } = preview(0, 700);
  expect(truncated).toBe(false);
  expect(diff).not.toContain('# cut');
  expect(diff.split('\n').filter((line) => line.startsWith('+  k')).length).toBe(700);
});

test('a change of few lines is shown with what stays around it', () => {
  expect(preview(1, 2)).toEqual({
    diff: '--- before\n+++ after\n@@ -1,4 +1,5 @@\n data:\n-  k0: old 0\n+  k0: new 0\n+  k1: new 1\n metadata:\n   name: big\n',
    truncated: false,
  });
});

test('every key and number stands there as it was sent, whatever was shown before', () => {
  const shown = (key: string) => {
    const object = { metadata: { name: 'odd' }, data: { a: 1, [key]: 9007199254740993n } };
    const { diff } = previewOf({ ...request, operation: 'CREATE', object }, new Uint8Array(32));
    return diff.split('\n').filter((line) => line.includes('9007199254740993'));
  };
  // A round trip through JSON would show the second as the first (nodejs/node#63785).
  expect(shown('\\')).toEqual(["+  \\: '9007199254740993'"]);
  expect(shown('"')).toEqual([`+  '"': '9007199254740993'`]);
});
