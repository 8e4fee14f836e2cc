// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What becomes of a container's command, variables and paths on this machine.

import { expect, test } from 'vitest';
import { expandVariables, rewritePaths } from './expand.ts';
import { commandLineOf, isOurs } from './image.ts';

const rule = { image: 'example.test/stepup', entrypoint: ['node', '/repo/dist/stepup.mjs'] };
const program = [process.execPath, '/repo/dist/stepup.mjs'];

test.each([
  { given: { args: ['serve', '--port=1'] }, want: { program, args: ['serve', '--port=1'] } },
  { given: { command: ['stepup'], args: ['serve'] }, want: { program, args: ['serve'] } },
  { given: { command: ['/usr/bin/stepup', 'serve'] }, want: { program, args: ['serve'] } },
  { given: { command: ['node', '/app/stepup.mjs', 'serve'], args: ['-v'] }, want: { program, args: ['serve', '-v'] } },
  { given: { command: ['node', '--eval', '0'] }, want: { program: [process.execPath], args: ['--eval', '0'] } },
  { given: { command: ['sh', '-c', 'true'] }, want: { program: [], args: ['sh', '-c', 'true'] } },
])('a container with $given runs the entrypoint or what it names', ({ given, want }) => {
  expect(commandLineOf({ image: 'example.test/stepup:1', ...given }, rule)).toEqual(want);
});

test.each(['1', '2'])('a container of tag %s runs the entrypoint of that tag', (tag) => {
  const entrypoint = (image: string) => ['node', `/repo/${image.split(':')[1]}/stepup.mjs`];
  const { program: found } = commandLineOf({ image: `example.test/stepup:${tag}` }, { ...rule, entrypoint });
  expect(found).toEqual([process.execPath, `/repo/${tag}/stepup.mjs`]);
});

test.each([
  { images: ['example.test/stepup:1', 'example.test/stepup@sha256:0'], want: true },
  { images: ['example.test/stepup:1', 'example.test/other:1'], want: false },
])('a pod of $images is run: $want', ({ images, want }) => {
  expect(isOurs({ containers: images.map((image, index) => ({ name: `c${index}`, image })) }, rule)).toBe(want);
});

test.each([
  { given: '--host=$(IP)', want: '--host=127.1.2.3' },
  { given: '$(IP):$(PORT)', want: '127.1.2.3:$(PORT)' },
  { given: '$$(IP)', want: '$(IP)' },
])('"$given" expands to "$want"', ({ given, want }) => {
  expect(expandVariables(given, { IP: '127.1.2.3' })).toBe(want);
});

const mappings = [
  { mountPath: '/etc/app', hostPath: '/pod/app' },
  { mountPath: '/etc/app/tls/', hostPath: '/pod/tls' },
];

test.each([
  { given: '/etc/app', want: '/pod/app' },
  { given: '/etc/app/config.yaml', want: '/pod/app/config.yaml' },
  { given: '--tls=/etc/app/tls/tls.crt', want: '--tls=/pod/tls/tls.crt' },
  { given: '/etc/app:/etc/app/tls', want: '/pod/app:/pod/tls' },
  { given: '/etc/application', want: '/etc/application' },
  { given: '/opt/etc/app', want: '/opt/etc/app' },
])('"$given" becomes "$want" where it is mounted', ({ given, want }) => {
  expect(rewritePaths(given, mappings)).toBe(want);
});
