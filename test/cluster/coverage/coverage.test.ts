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
import { classes, generalReason, type KindClass, reasonFor } from './reasons.ts';
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
  const covered = packPolicies().map(coverageOf);
  const text = [intro, ...classTables(covered), ...covered.map(sectionOf)].join('\n');
  if (process.env.UPDATE_COVERAGE) writeFileSync(document, text);
  expect(readFileSync(document, 'utf8')).toBe(text);
});

const intro = `# What the packs gate

Made by \`test/cluster/coverage\` from the discovery of a real API server and the rules that each pack's policy is compiled into. A kind that
the test does not know fails it. Each kind and operation that the API server admits is accounted for, under each pack:

- The section of a pack lists what it gates, and what it leaves open of the kinds that it touches.
- A class of kinds that the section does not name is not gated by that pack at all. The tables of kinds say why, once.

*By* names the webhook of the policy: \`action\` is what the policy itself names; the others are equivalent requests, other ways to the same
effect. Whether one request of a gated kind needs approval depends on the policy's fields and conditions: see
[the packs' own pages](packs/README.md).
`;

interface Covered {
  readonly name: string;
  /** "OPERATION kind" → the webhooks by which it is gated. */
  readonly gates: ReadonlyMap<string, string>;
  readonly gated: readonly Write[];
  readonly open: readonly Write[];
}

function coverageOf(policy: Policy): Covered {
  const gates = gatesOf(policy);
  const isGated = ({ operation, kind }: Write) => gates.has(`${operation} ${kind}`);
  return {
    name: policy.metadata.name,
    gates,
    gated: writes.filter(isGated),
    open: writes.filter((write) => !isGated(write)),
  };
}

/** The kinds, class by class: those that no pack gates, and the others with the packs that gate some of them. */
function classTables(covered: readonly Covered[]): readonly string[] {
  const rows = Object.keys(classes).map((key) => {
    const kindClass = key as KindClass;
    const kinds = [...classes[kindClass]].sort().map((kind) => `\`${kind}\``);
    const packsOfClass = covered.filter(({ gated }) => gated.some(({ kind }) => classOf.get(kind) === kindClass));
    return { name: kindClass, kinds: kinds.join(', '), packs: packsOfClass.map(({ name }) => name) };
  });
  const never = rows.filter((row) => row.packs.length === 0);
  const some = rows.filter((row) => row.packs.length > 0);
  return [
    '## Never gated by any pack',
    '',
    '| class | kinds | why |',
    '| --- | --- | --- |',
    ...never.map(({ name, kinds }) => `| ${name} | ${kinds} | ${generalReason(name)} |`),
    '',
    '## Gated by some packs',
    '',
    '| class | kinds | packs that gate some of them | why the others do not |',
    '| --- | --- | --- | --- |',
    ...some.map((row) => `| ${row.name} | ${row.kinds} | ${row.packs.join(', ')} | ${generalReason(row.name)} |`),
    '',
  ];
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

function sectionOf({ name, gates, gated, open }: Covered): string {
  const gatedRows = byKind(gated).map(([kind, operations]) => {
    const webhooks = new Set(operations.map((operation) => gates.get(`${operation} ${kind}`) ?? ''));
    return `| \`${kind}\` | ${operations.join(', ')} | ${[...webhooks].join(', ')} |`;
  });
  const openRows = Object.keys(classes).flatMap((key) => {
    const kindClass = key as KindClass;
    const kinds = byKind(open.filter((write) => classOf.get(write.kind) === kindClass));
    if (kinds.length === 0) return [];
    const isWhole = !gated.some((write) => classOf.get(write.kind) === kindClass);
    const reason = reasonFor(name, kindClass);
    // The tables of kinds say it for all packs.
    if (isWhole && reason === generalReason(kindClass)) return [];
    const named = kinds.map(([kind, operations]) => `\`${kind}\` (${operations.join(', ')})`);
    return [`| ${kindClass} | ${isWhole ? 'all' : named.join(', ')} | ${reason} |`];
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
