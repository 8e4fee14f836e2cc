// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What each ready-made policy gates of all that a real API server admits, what it does not, and why: docs/coverage.md.
// After a change on purpose: UPDATE_COVERAGE=1 vitest run --project cluster test/cluster/coverage/coverage
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Policy, PolicySpec } from '../../../src/domain/model/policy.ts';
import { loadCredentials } from '../../../src/kube/http/credentials.ts';
import { RestClient } from '../../../src/kube/http/rest.ts';
import { type Discovery, discover } from '../../../src/kube/objects/discovery.ts';
import { isGateEntry } from '../../../src/operator/admission/webhook-configuration.ts';
import { compilePolicy } from '../../../src/operator/gates/compile-policy.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { classes, type KindClass, reasonFor } from './reasons.ts';
import { type Write, walk } from './walk.ts';

const packs = new URL('../../../charts/stepup/packs/', import.meta.url);
const document = new URL('../../../docs/coverage.md', import.meta.url);

let plane: ControlPlane;
let rest: RestClient;
let writes: readonly Write[];
let discovery: Discovery;
beforeAll(async () => {
  plane = await startControlPlane({ controllerManager: false });
  rest = new RestClient({ credentials: await loadCredentials({ kind: 'kubeconfig', paths: [plane.adminKubeconfig] }) });
  writes = await walk(rest);
  discovery = await discover(rest);
}, 180_000);
afterAll(async () => {
  rest?.close();
  await plane?.stop();
});

const classOf = new Map<string, KindClass>(
  Object.entries(classes).flatMap(([name, kinds]) => kinds.map((kind) => [kind, name as KindClass] as const)),
);

test('every kind that is served is known here, and no other', () => {
  const served = new Set(writes.map(({ kind }) => kind));
  const unlisted = [...served].filter((kind) => !classOf.has(kind));
  const gone = [...classOf.keys()].filter((kind) => !served.has(kind));
  expect({ unlisted, gone }, 'list it in test/cluster/coverage/reasons.ts').toEqual({ unlisted: [], gone: [] });
});

test('docs/coverage.md says what is gated, what is not and why', () => {
  const text = [intro, classTable(), ...packPolicies().map(sectionOf)].join('\n');
  if (process.env.UPDATE_COVERAGE) writeFileSync(document, text);
  expect(readFileSync(document, 'utf8')).toBe(text);
});

const intro = `# What the ready-made policies gate

Made by \`test/cluster/coverage\` from the discovery of a real API server and the rules that each policy is compiled into; a kind that
the test does not know fails it. A door is another way to an effect that the policy governs
([\`domain/coverage/coverage.ts\`](../src/domain/coverage/coverage.ts)). Which requests of a kind are asked about is decided by the policy's
fields and conditions; [the packs' own pages](packs/README.md) tell.
`;

function classTable(): string {
  const rows = Object.entries(classes).map(
    ([name, kinds]) =>
      `| ${name} | ${[...kinds]
        .sort()
        .map((kind) => `\`${kind}\``)
        .join(', ')} |`,
  );
  return ['## Kinds', '', '| class | kinds that are written |', '| --- | --- |', ...rows, ''].join('\n');
}

function packPolicies(): readonly Policy[] {
  return readdirSync(packs)
    .sort()
    .map((file) => {
      const { metadata, spec } = load(readFileSync(new URL(file, packs), 'utf8')) as {
        readonly metadata: { readonly name: string };
        readonly spec: PolicySpec;
      };
      return { metadata: { name: metadata.name, uid: 'uid', generation: 1 }, spec };
    });
}

function sectionOf(policy: Policy): string {
  const { name } = policy.metadata;
  const gates = gatesOf(policy);
  const gated = writes.filter(({ operation, kind }) => gates.has(`${operation} ${kind}`));
  const isOpen = (write: Write) => !gated.includes(write);
  const gatedRows = byKind(gated).map(([kind, operations]) => {
    const doors = new Set(operations.map((operation) => gates.get(`${operation} ${kind}`) ?? ''));
    return `| \`${kind}\` | ${operations.join(', ')} | ${[...doors].join(', ')} |`;
  });
  const openRows = Object.keys(classes).flatMap((key) => {
    const kindClass = key as KindClass;
    const kinds = byKind(writes.filter((write) => isOpen(write) && classOf.get(write.kind) === kindClass));
    if (kinds.length === 0) return [];
    const all = classes[kindClass].length;
    const named = kinds.map(([kind, operations]) => `\`${kind}\` (${operations.join(', ')})`);
    const isWhole = kinds.length === all && !gated.some((write) => classOf.get(write.kind) === kindClass);
    return [`| ${kindClass} | ${isWhole ? 'all' : named.join(', ')} | ${reasonFor(name, kindClass)} |`];
  });
  return [
    `## ${name}`,
    '',
    '| gated | operations | by |',
    '| --- | --- | --- |',
    ...gatedRows,
    '',
    '| not gated | which | why |',
    '| --- | --- | --- |',
    ...openRows,
    '',
  ].join('\n');
}

function byKind(some: readonly Write[]): readonly (readonly [string, readonly string[]])[] {
  const kinds = new Map<string, string[]>();
  for (const { kind, operation } of some) kinds.set(kind, [...(kinds.get(kind) ?? []), operation]);
  return [...kinds];
}

/** "OPERATION kind" → the entries of the webhook configuration that ask about it. */
function gatesOf(policy: Policy): ReadonlyMap<string, string> {
  const { configuration } = compilePolicy(policy, {
    ownUsername: 'system:serviceaccount:stepup-system:stepup',
    service: { name: 'stepup', namespace: 'stepup-system', port: 443 },
    caBundle: '',
    kindUid: 'uid-of-kind',
    discovery,
    policyExists: () => true,
    engineExists: () => false,
    entriesOn: () => 0,
  });
  const gates = new Map<string, string>();
  for (const { name, rules } of (configuration?.webhooks ?? []).filter(isGateEntry)) {
    const entry = (name.split('.')[0] ?? '').replace(/-\d+$/, '');
    for (const { operations, resources, apiGroups } of rules) {
      for (const resource of resources) {
        for (const operation of operations) {
          const [group = ''] = apiGroups;
          const key = `${operation} ${group === '' ? resource : `${resource}.${group}`}`;
          const before = gates.get(key);
          gates.set(key, before === undefined || before === entry ? entry : `${before} and ${entry}`);
        }
      }
    }
  }
  return gates;
}
