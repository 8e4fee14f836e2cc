// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Digests are stored and outlive releases: each version is fixed by examples, and the one before is served like ours.
import { describe, expect, test } from 'vitest';
import type { Change } from '../../../../src/domain/change/change.ts';
import { digestVersion, previousDigestVersion } from '../../../../src/domain/change/change-digest.ts';
import { decide } from '../../../../src/domain/decision/decide.ts';
import { showsContentOf } from '../../../../src/domain/lifecycle/content-verified.ts';
import type { Approval, Use } from '../../../../src/domain/model/approval.ts';
import type { Action } from '../../../../src/domain/model/policy.ts';
import {
  approval,
  attempt,
  type Case,
  creation,
  decided,
  deletion,
  deployment,
  plan,
  policy,
  privileged,
  question,
  request,
  reserved,
  set,
  situation,
  word,
} from '../../../support/builders/domain.ts';

const whole = (resource: string, group = ''): Action => ({
  operations: ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'],
  apiGroups: [group],
  resources: [resource],
});
const core = (kind: string, resource: string, name: string) => ({ group: '', version: 'v1', kind, resource, name });
const restartedAt = ['spec', 'template', 'metadata', 'annotations', 'kubectl.kubernetes.io/restartedAt'];

const pod = creation(
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'run-', name: 'run-4x2zq', namespace: 'prod', uid: 'uid-pod' },
    spec: {
      volumes: [{ name: 'kube-api-access-7f4tq', projected: {} }],
      containers: [{ name: 'c', image: 'web:1', volumeMounts: [{ name: 'kube-api-access-7f4tq', mountPath: '/t' }] }],
    },
  },
  core('Pod', 'pods', ''),
);
const service = creation(
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'prod', uid: 'uid-service' },
    spec: { clusterIP: '10.0.0.7', clusterIPs: ['10.0.0.7'], ports: [{ port: 80, nodePort: 31000 }] },
  },
  core('Service', 'services', 'web'),
);
const exec = creation(
  { apiVersion: 'v1', kind: 'PodExecOptions', stdin: true, container: 'c', command: ['sh'] },
  { ...core('PodExecOptions', 'pods', 'web-1'), operation: 'CONNECT', subresource: 'exec' },
);
const token = creation(
  {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: ['b', 'a'], expirationSeconds: 600 },
  },
  { ...core('TokenRequest', 'serviceaccounts', 'deployer'), subresource: 'token' },
);
const bigNumber = creation(
  {
    apiVersion: 'example.dev/v1',
    kind: 'Thing',
    metadata: { name: 'x', uid: 'u' },
    data: { n: 9007199254740993n, 'a/b': '1' },
  },
  { group: 'example.dev', kind: 'Thing', resource: 'things', name: 'x' },
);
const scale = (replicas: number) => ({
  apiVersion: 'autoscaling/v1',
  kind: 'Scale',
  metadata: { name: 'web', namespace: 'prod', uid: 'uid-web', resourceVersion: '101' },
  spec: { replicas },
});

/** One of every way in which a digest is made. */
const examples: readonly (readonly [what: string, change: () => Change, v1: string, v2: string])[] = [
  [
    'CREATE of a Pod by generateName',
    () => privileged(pod, whole('pods')),
    '0264849dbf1173d16b5471a2e5e8e9882cbee81bd08169d84a21c09eeaa9005e',
    '694c8d55ad0fb8eaadd698e1470bb577bcfd3a9aac1ad84ef66ba2bd6032e26c',
  ],
  [
    'CREATE of a Service',
    () => privileged(service, whole('services')),
    '5e6fe59f1e94efa51590962303066c99fab3eae83040d720645dca7c87f4dfcb',
    '4369f79ab76932137caae7b4e0ce6a9bf3cb2b282c6e6f80b145cea26b56237e',
  ],
  [
    'CREATE with an integer beyond 2^53',
    () => privileged(bigNumber, whole('things', 'example.dev')),
    'e7002ff874cb9db8810ddc14963865a5332b6309b249a5831151723cd59d43fd',
    'e36a90d6938408015121bca7a23e0f4520ea5b306d688297daab3b4240b72902',
  ],
  [
    'UPDATE of a field',
    () => privileged(request()),
    '503f64d6e2eed95f88e0bb21a496c0ab376d6da3335db95244d62f0477acc8af',
    '1002f3e9b7167803fb9a626d850100e4441a74be4b7d57e96c1528afc3fb26c7',
  ],
  [
    'UPDATE of the whole object',
    () => privileged(request(), whole('deployments', 'apps')),
    '714a449c724b97c4af84851ac283ee401096cd19d55e5fc0b074b810f641ce58',
    'ee21308b52d66719c11be6614822858666a7dfa0b5453ebb7ca9ffbd536743d1',
  ],
  [
    'a touch',
    () => privileged(request({ object: set(deployment('web:1', 2), restartedAt, '2026-01-01T00:00:00Z') })),
    '2795436ffc83252e0b1b660654f35a63f0d56896114efdb4a9d25fb93e641689',
    'cd0270eac328dd9daffe48df91551fef6febec3b86ac882ac2205760a0f34502',
  ],
  [
    'a scale',
    () => privileged(request({ subresource: 'scale', oldObject: scale(3), object: scale(5) })),
    'd8e06ec55d9adf31fc394045c62e0b9e89deee5904d7fb4bc6ba69e5ab19e8ce',
    'b0dd53d21a3cbbfb1dfdc778618f5fe376494efa81ec7c91f84c711d915ba57a',
  ],
  [
    'DELETE',
    () => privileged(deletion(deployment())),
    'a1d087289e0c81019cd3214030dd82af490fcec4f0aa5778dc43ae764ecb9a44',
    '7e6272034419a70f14cd77c98a47ac55b4c81407de4f9f2bf7e41d0808782256',
  ],
  [
    'CONNECT',
    () => privileged(exec, whole('pods/exec')),
    'ddff2c15b1d2acce8663e35b2f51481de92c733c4b54774b0f9dc0591f531d15',
    'c6fcc5e9895fd0048b014705ab1083ba4aa7054e6cde8f5f8a8b4fb4d0823888',
  ],
  [
    'a token',
    () => privileged(token, whole('serviceaccounts/token')),
    '7bfb7f7b96e28fbca4a1d6d818d01a4fc839ea10f837f91af6ff3b1d4d938169',
    'cf6d98cf0933cece296c96ae396110afefdfbe03aa349c7705fdda13666ac228',
  ],
];

describe('a digest is made in one way for ever', () => {
  test.each(examples)('%s', (_, change, v1, v2) => {
    expect(change().digests).toEqual({ v1: `sha256:${v1}`, v2: `sha256:${v2}` });
  });

  test('what is filed is of the current version', () => {
    expect(approval().spec.change).toMatchObject({ digest: privileged(request()).digests.v2, digestVersion: 'v2' });
  });

  test('of one content on two kinds there are two digests since v2', () => {
    const on = (resource: string) => privileged(request({ resource }), { ...whole(resource, 'apps') });
    const [one, other] = [on('deployments'), on('statefulsets')];
    expect([one.digests.v1 === other.digests.v1, one.digest === other.digest]).toEqual([true, false]);
  });

  test('current and previous are two', () => {
    expect([digestVersion, previousDigestVersion]).toEqual(['v2', 'v1']);
  });
});

/** As the release before has filed it. */
function filedBefore(overrides: Parameters<typeof approval>[2] = {}, asked = request(), under = policy()): Approval {
  const now = approval(asked, under, overrides);
  const digest = attempt(asked, under).change.digests.v1;
  return { ...now, spec: { ...now.spec, change: { ...now.spec.change, digest, digestVersion: 'v1' } } };
}

/** A use without a version, as the release before has written it. */
function usedBefore(on: Approval): Approval {
  const uses = (on.status?.uses ?? []).map(({ digestVersion: _, ...use }): Use => use);
  return { ...on, status: { ...on.status, uses } };
}

describe('an approval of the previous version', () => {
  const before = filedBefore();
  const approved: Case = { approvals: [before], words: [word(before)] };

  test('covers what it was filed for, and is reserved in its own words', () => {
    const { change, attemptKeys } = attempt();
    expect(reserved(approved).status?.uses).toMatchObject([
      { attemptKey: attemptKeys.v1, digest: change.digests.v1, digestVersion: 'v1' },
    ]);
  });

  test.each([
    ['does not cover anything else', { request: request({ object: deployment('web:3', 2) }) }],
    [
      'does not cover it under a version that stepup does not know',
      { approvals: [renamed(before, 'v3')], words: [word(before)] },
    ],
    ['does not cover it under the current version', { approvals: [renamed(before, 'v2')], words: [word(before)] }],
    ['does not cover it under no version', { approvals: [renamed(before, undefined)], words: [word(before)] }],
  ] as const)('%s', (_, given) => {
    expect(decided({ ...approved, ...given }).outcome).toBe('NeedsApproval');
  });

  test('is what a retry waits for while it is pending', () => {
    expect(decided({ approvals: [before] })).toMatchObject({
      outcome: 'NeedsApproval',
      approvalName: before.metadata.name,
    });
  });

  test('that the release before has reserved is admitted again on its base, and only there', () => {
    const held = usedBefore(reserved(approved));
    const again = { approvals: [held], words: [word(before)] };
    expect(decided(again)).toMatchObject({ outcome: 'Allowed', reason: 'Readmitted' });
    const later = request({ oldObject: deployment('web:1', 4), object: deployment('web:2', 5) });
    expect(decided({ ...again, request: later })).toMatchObject({ outcome: 'NeedsApproval', reason: 'AlreadyUsed' });
  });

  test('whose write has lost is reserved anew', () => {
    const held = usedBefore(reserved(approved));
    const next = request({ oldObject: deployment('web:9', 2), object: deployment('web:2', 3) });
    expect(reserved({ approvals: [held], words: [word(before)], request: next }).status?.releases).toHaveLength(1);
  });

  test('is settled by what its target shows', () => {
    const held = usedBefore(reserved(approved));
    const seen = { kind: 'State', object: deployment('web:2', 2), isNext: true } as const;
    const planned = plan(situation(held, { decisions: [word(before)], seen }));
    expect(planned.status).toMatchObject({ phase: 'Consumed', evidence: 'Observed' });
  });

  test('once spent gives its successor a name of its own', () => {
    const spent = { ...before, status: { phase: 'Consumed' } as const };
    const [fresh, next] = [decided(), decided({ approvals: [spent] })];
    expect(fresh).toMatchObject({ outcome: 'NeedsApproval' });
    expect(next).toMatchObject({ outcome: 'NeedsApproval' });
    expect(next).not.toEqual(fresh);
  });

  test('is shown the content it is for', () => {
    const asked: Approval = { ...before, spec: { ...before.spec, origin: 'Asked' } };
    expect(showsContentOf(asked, attempt(), { isUse: false })).toBe(true);
    expect(showsContentOf(renamed(asked, 'v3'), attempt(), { isUse: false })).toBe(false);
  });

  test('satisfies its policy where several are asked', () => {
    const other = policy({}, 'second');
    const policies = [policy(), other];
    const second = filedBefore({ name: 'second-1', uid: 'uid-2' }, request(), other);
    const words = [word(before), word(second, {}, 'uid-word-2')];
    expect(decided({ policies, approvals: [before, second], words }).outcome).toBe('Allowed');
    expect(decided({ policies, approvals: [before, second], words: [word(before)] })).toMatchObject({
      outcome: 'NeedsApproval',
      reason: 'WaitingForOthers',
    });
  });
});

test('an approval that binds to its target was used by the release before: it knows the attempt again', () => {
  const under = policy({ grant: { binding: 'Target' } });
  const open = { ...approval(request(), under), spec: { ...approval(request(), under).spec, change: {} } };
  const use = reserved({ policy: under, approvals: [open], words: [word(open)] }).status?.uses?.[0];
  const { attemptKeys, change } = attempt(request(), under);
  if (use === undefined) throw new Error('no use');
  const { digestVersion: _, ...written } = { ...use, attemptKey: attemptKeys.v1, digest: change.digests.v1 };
  const held = { ...open, status: { phase: 'Reserved', uses: [written] } } as const;
  const given = { policy: under, words: [word(open)], seconds: 121 };
  expect(decided({ ...given, approvals: [held] })).toMatchObject({ reason: 'Readmitted' });
  const unknown = { ...held, status: { ...held.status, uses: [{ ...written, digestVersion: 'v3' }] } } as const;
  expect(decided({ ...given, approvals: [unknown] })).toMatchObject({ reason: 'AlreadyUsed' });
});

test('the previous digest is made only where an approval of its version asks for it', () => {
  const asked = (approvals: readonly Approval[]) => {
    let times = 0;
    const asking = question({ approvals });
    const { change } = asking.attempt;
    const digests = {
      v2: change.digest,
      get v1() {
        times += 1;
        return change.digests.v1;
      },
    };
    const counted = { ...change, digests };
    decide({ ...asking, attempt: { ...asking.attempt, change: counted } });
    return times;
  };
  expect(asked([approval(), approval(request(), policy(), { uid: 'b', status: { phase: 'Consumed' } })])).toBe(0);
  expect(asked([filedBefore()])).toBeGreaterThan(0);
});

function renamed(of: Approval, version: string | undefined): Approval {
  const { digestVersion: _, ...change } = of.spec.change ?? {};
  return {
    ...of,
    spec: { ...of.spec, change: version === undefined ? change : { ...change, digestVersion: version } },
  };
}
