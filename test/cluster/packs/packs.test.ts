// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The ready-made policies that are off by default, switched on: each door is refused to an account with cluster-admin,
// its neighbour that differs in one thing passes, and an approval lets one request through.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { getApproval, phaseOf } from '../../support/installation/approvals.ts';
import { apply, type Installation, installStepup, policiesReady } from '../../support/installation/installation.ts';
import { runCommand } from '../../support/run-command.ts';
import { create, patch, Robot, type Try, words } from './pack-actors.ts';

const enabled = [
  ...['production-exec', 'rbac-escalation', 'token-release', 'credential-rotation', 'key-revocation', 'new-egress'],
];
/** Switched on to observe only. */
const observing = 'secret-deletion';
const mark = 'stepup.dev/critical-integration';
const rbac = 'rbac.authorization.k8s.io';

let stepup: Installation;
let robot: Robot;
beforeAll(async () => {
  stepup = await installStepup({
    replicas: 1,
    values: [
      ...enabled.map((name) => `packs.${name}.enabled=true`),
      'packs.production-deploys.enabled=false',
      `packs.${observing}.spec.mode=Observe`,
    ],
  });
  robot = new Robot(stepup);
  await policiesReady(stepup.cluster, enabled.length + 2);
}, 300_000);
afterAll(() => stepup?.stop());

test('all are in place, and nothing is wrong with them', async () => {
  const { stdout } = await stepup.kubectl('admin', [
    ...['get', 'stepuppolicies', '--no-headers', '-o'],
    'custom-columns=N:.metadata.name,R:.status.conditions[?(@.type=="Ready")].reason',
  ]);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(/ +/));
  expect(lines.map(([name]) => name)).toEqual([...enabled, 'namespace-deletion', observing].sort());
  expect(new Set(lines.map(([, reason]) => reason))).toEqual(new Set(['InPlace']));
});

describe('production-exec', () => {
  const says = (what: string) => `stepup: production-exec requires approval to ${what}`;
  const raw = (method: 'GET' | 'POST', path: string): Try =>
    method === 'GET' ? words(`get --raw ${path}`) : { args: ['create', '--raw', path, '-f', '-'], stdin: '' };
  const at = (namespace: string, rest: string) => `/api/v1/namespaces/${namespace}/${rest}`;
  const command = '?command=ls&container=shell&stdout=true';

  beforeAll(async () => {
    for (const namespace of ['prod', 'dev']) {
      await robot.prepare(
        words(`-n ${namespace} run shell --image=nginx:1`),
        words(`-n ${namespace} create service clusterip web --tcp=80`),
      );
    }
  });

  test.each([
    // A connection by WebSocket is a GET, by SPDY a POST.
    ['GET', `pods/shell/exec${command}`, 'pods/exec prod/shell'],
    ['POST', `pods/shell/exec${command}`, 'pods/exec prod/shell'],
    ['GET', 'pods/shell/attach?container=shell&stdout=true', 'pods/attach prod/shell'],
    ['POST', 'pods/shell/portforward?ports=80', 'pods/portforward prod/shell'],
    ['GET', 'pods/shell/proxy/metrics', 'pods/proxy prod/shell'],
    ['POST', 'services/web/proxy/admin', 'services/proxy prod/web'],
  ] as const)(
    '%s %s is refused in production, and in another namespace not by stepup',
    async (method, path, target) => {
      await robot.refused(raw(method, at('prod', path)), says(`CONNECT ${target}`));
      const elsewhere = await robot.run(raw(method, at('dev', path)));
      expect(elsewhere.stderr).not.toContain('stepup:');
    },
  );

  test.each(['true', 'false'])('kubectl exec with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=%s is refused', async (value) => {
    const { code, stderr } = await stepup.kubectl('root-bot', ['-n', 'prod', 'exec', 'shell', '--', 'id'], {
      env: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: value },
    });
    expect(code).not.toBe(0);
    expect(stderr).toContain(says('CONNECT pods/exec prod/shell'));
  });

  test('the proxy of a node is refused, and logs are no connection', async () => {
    await robot.refused(raw('GET', '/api/v1/nodes/standin/proxy/pods'), says('CONNECT nodes/proxy standin'));
    expect((await robot.run(words('-n prod logs shell'))).stderr).not.toContain('stepup:');
  });

  test('a debug container is refused in production and passes elsewhere', async () => {
    const debug = (namespace: string) =>
      patch(`-n ${namespace} pod shell --subresource=ephemeralcontainers`, {
        spec: { ephemeralContainers: [{ name: 'debug', image: 'busybox:1', command: ['sh'] }] },
      });
    await robot.refused(debug('prod'), says('UPDATE pods/ephemeralcontainers prod/shell'));
    await robot.passes(debug('dev'));
  });

  test('an approval opens one connection for that command, and no other', async () => {
    const exec = (what: string) =>
      raw('GET', at('prod', `pods/shell/exec?command=${what}&container=shell&stdout=true`));
    const key = await robot.approve(await robot.refused(exec('id'), says('CONNECT pods/exec prod/shell')));
    expect((await getApproval(stepup, key)).spec.change?.preview?.diff).toContain('id');
    await robot.refused(exec('env'), says('CONNECT pods/exec prod/shell'));
    // There is no kubelet to connect to: what answers now is the API server.
    expect((await robot.run(exec('id'))).stderr).not.toContain('stepup:');
    expect((await phaseOf(stepup, key, 'Consumed')).status?.evidence).toBe('Admitted');
    await robot.refused(exec('id'), says('CONNECT pods/exec prod/shell'));
  });
});

describe('rbac-escalation', () => {
  const says = (what: string) => `stepup: rbac-escalation requires approval to ${what}`;
  const rule = (verb: string) => ({ apiGroups: [''], resources: ['configmaps'], verbs: [verb] });
  const labels = { 'helm.sh/chart': 'web-1', team: 'a' };
  const role = (name: string, ...verbs: readonly string[]) => ({
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRole',
    metadata: { name, labels },
    rules: verbs.map(rule),
  });
  const subject = (name: string) => ({ kind: 'ServiceAccount', namespace: 'dev', name });
  const binding = (namespace: string, ...names: readonly string[]) => ({
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata: { name: 'readers', namespace },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'reader' },
    subjects: names.map(subject),
  });
  const doors = { apiGroups: [rbac], resources: ['clusterroles'] };
  const impersonating = { apiGroups: [''], resources: ['users'], verbs: ['impersonate'] };
  const dying = { ...role('dying', 'get'), metadata: { name: 'dying', finalizers: ['example.com/hold'] } };

  beforeAll(async () => {
    await apply(stepup.cluster, [role('reader', 'get', 'list'), binding('dev', 'one', 'two'), dying]);
    await robot.prepare(words('delete clusterrole dying --wait=false'));
  });

  const readers = (subjects: readonly object[]) => patch('-n dev rolebinding readers', { subjects });
  const reader = (change: object) => patch('clusterrole reader', change);
  test.each<readonly [string, Try, string]>([
    ['a ClusterRole', create(role('new', 'get')), 'CREATE clusterroles new'],
    ['a Role, in any namespace', words('-n dev create role new --verb=get --resource=pods'), 'CREATE roles dev/new'],
    [
      'a ClusterRoleBinding',
      words('create clusterrolebinding new --clusterrole=view --user=eve'),
      'CREATE clusterrolebindings new',
    ],
    ['a RoleBinding in kube-system', create(binding('kube-system', 'one')), 'CREATE rolebindings kube-system/readers'],
    [
      'a role that lets escalate, bind or impersonate',
      create({ ...role('doors'), rules: [{ ...doors, verbs: ['escalate', 'bind'] }, impersonating] }),
      'CREATE clusterroles doors',
    ],
    ['one more rule', reader({ rules: ['get', 'list', 'delete'].map(rule) }), 'UPDATE clusterroles reader'],
    ['one more subject', readers(['one', 'two', 'three'].map(subject)), 'UPDATE rolebindings dev/readers'],
    [
      'an aggregation',
      reader({ aggregationRule: { clusterRoleSelectors: [{ matchLabels: { team: 'a' } }] } }),
      'UPDATE clusterroles reader',
    ],
    [
      'a label by which another role aggregates it',
      words(`label clusterrole reader ${rbac}/aggregate-to-admin=true`),
      'UPDATE clusterroles reader',
    ],
    [
      'a label gone, by whose absence another role aggregates it',
      reader({ metadata: { labels: { team: null } } }),
      'UPDATE clusterroles reader',
    ],
    [
      'a rule of a role that is being deleted and still grants',
      patch('clusterrole dying', { rules: ['get', 'list'].map(rule) }),
      'UPDATE clusterroles dying',
    ],
  ])('%s is refused', async (_, one, target) => {
    await robot.refused(one, says(target));
  });

  test('what takes rights away, and what gives none, passes', async () => {
    await robot.passes(reader({ rules: [rule('list')] }));
    await robot.passes(reader({ metadata: { labels: { 'helm.sh/chart': null } } }));
    await robot.passes(words('annotate clusterrole reader a=b'));
    await robot.passes(words('-n dev label rolebinding readers team=b'));
    await robot.passes(readers([subject('two')]));
    await robot.passes(words('-n dev delete rolebinding readers'));
    await robot.passes(patch('clusterrole dying', { rules: null }));
  });

  test('a role of many rules is held against what it was, too', async () => {
    const verbs = Array.from({ length: 500 }, (_, n) => `verb-${n}`);
    await robot.prepare(create(role('many', ...verbs)));
    await robot.passes(patch('clusterrole many', { rules: verbs.slice(1).map(rule) }));
    await robot.refused(patch('clusterrole many', { rules: verbs.map(rule) }), says('UPDATE clusterroles many'));
  });

  test('labels and subjects changed at once are one change', async () => {
    await apply(stepup.cluster, [binding('prod', 'one')]);
    const both = { metadata: { labels: { 'helm.sh/chart': 'web-2' } }, subjects: [subject('two')] };
    await robot.refused(patch('-n prod rolebinding readers', both), says('UPDATE rolebindings prod/readers'));
  });

  test('an approval makes one role, with these rules', async () => {
    const one = create(role('approved', 'get'));
    await robot.refused(create(role('approved', 'get', 'delete')), says('CREATE clusterroles approved'));
    await robot.passesOnce(one, says('CREATE clusterroles approved'), words('delete clusterrole approved'));
  });
});

describe('token-release', () => {
  const says = (what: string) => `stepup: token-release requires approval to ${what}`;
  const tooLong =
    'stepup: token-release: the token would live longer than the policy allows. Request a token that expires sooner';
  const path = '/api/v1/namespaces/dev/serviceaccounts/lent/token';
  const request = (spec: object, query = ''): Try => ({
    args: ['create', '--raw', `${path}${query}`, '-f', '-'],
    stdin: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec }),
  });
  const asked = 'CREATE serviceaccounts/token dev/lent';

  beforeAll(() => robot.prepare(words('-n dev create serviceaccount lent')));

  test.each<readonly [string, Try, string]>([
    ['for the API server', words('-n dev create token lent'), says(asked)],
    ['for another audience', request({ audiences: ['vault'], expirationSeconds: 600 }), says(asked)],
    ['in a dry run, which hands out one that works', request({ expirationSeconds: 600 }, '?dryRun=All'), says(asked)],
    ['for longer than the cap', words('-n dev create token lent --duration=2h'), tooLong],
    [
      'that never expires, in a Secret',
      create({
        ...{ apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/service-account-token' },
        metadata: { name: 'lent', namespace: 'dev', annotations: { 'kubernetes.io/service-account.name': 'lent' } },
      }),
      tooLong,
    ],
    [
      'of an account that nobody gates',
      words('-n kube-system create token coredns-like'),
      says('CREATE serviceaccounts/token kube-system/coredns-like'),
    ],
    [
      'through a new account where accounts are exempt',
      words('-n kube-system create serviceaccount robot'),
      says('CREATE serviceaccounts kube-system/robot'),
    ],
  ])('a token %s is refused', async (_, one, said) => {
    if (one.args.includes('coredns-like'))
      await robot.prepare(words('-n kube-system create serviceaccount coredns-like'));
    await robot.refused(one, said);
  });

  test('kubelets and the controller manager get theirs, and people too', async () => {
    const as = (user: string, group: string) => words(`-n dev create token lent --as=${user} --as-group=${group}`);
    await robot.passes(as('system:node:standin', 'system:masters'), 'admin');
    await robot.passes(as('system:kube-controller-manager', 'system:masters'), 'admin');
    await robot.passes(words('-n dev create token lent --duration=2h'), 'admin');
    const controller = 'system:serviceaccount:kube-system:replicaset-controller';
    await robot.passes(as(controller, 'system:masters'), 'admin');
    await robot.passes(words('-n dev create secret generic plain --from-literal=a=b'));
  });

  test('an approval releases one token, and shows and binds audience, life and object', async () => {
    const one = { audiences: ['vault'], expirationSeconds: 900 };
    const denied = await robot.refused(request(one), says(asked));
    const key = await robot.approve(denied);
    const diff = (await getApproval(stepup, key)).spec.change?.preview?.diff;
    expect(diff).toContain('vault');
    expect(diff).toContain('900');
    await robot.refused(request({ ...one, audiences: ['other'] }), says(asked));
    await robot.refused(request({ ...one, expirationSeconds: 901 }), says(asked));
    await robot.refused(request({ expirationSeconds: 900 }), says(asked));
    const { status } = JSON.parse((await robot.passes(request(one))).stdout) as { status: { token: string } };
    const claims = JSON.parse(Buffer.from(status.token.split('.')[1] ?? '', 'base64url').toString()) as {
      aud: string[];
      exp: number;
      iat: number;
    };
    expect(claims).toMatchObject({ aud: ['vault'], exp: claims.iat + 900 });
    await robot.refused(request(one), says(asked));
    expect((await phaseOf(stepup, key, 'Consumed')).status?.evidence).toBe('Admitted');
  });

  test('who names no audience is asked about the API server’s own', async () => {
    const denied = await robot.refused(request({ expirationSeconds: 1200 }), says(asked));
    const { spec } = await getApproval(stepup, await robot.approve(denied));
    expect(spec.change?.preview?.diff).toMatch(/audiences[\s\S]*https?:\/\//);
  });
});

describe('credential-rotation and key-revocation', () => {
  const says = (what: string) => `stepup: key-revocation requires approval to ${what}`;
  const secret = (name: string, marks: object = { [mark]: 'payments' }) => ({
    ...{ apiVersion: 'v1', kind: 'Secret' },
    metadata: { name, namespace: 'prod', labels: marks },
    stringData: { user: 'u', key: 'k' },
  });
  const change = (name: string, data: object, more: object = {}) =>
    patch(`-n prod secret ${name}`, { stringData: data, ...more });
  const records = async (name: string) => {
    const path = '/apis/stepup.dev/v1alpha1/namespaces/prod/stepupapprovals';
    const { items } = await stepup.cluster.admin.list<Awaited<ReturnType<typeof getApproval>>>(path);
    return items.filter(({ spec }) => spec.action.name === name).map(({ spec }) => spec.policy.name);
  };

  beforeAll(() =>
    apply(stepup.cluster, [
      ...['rotated', 'revoked', 'unmarked', 'dropped', 'ended'].map((name) => secret(name)),
      secret('plain', {}),
    ]),
  );

  test('new data passes at once and is recorded once for each time; of an unmarked Secret it is not', async () => {
    await robot.passes(change('rotated', { key: 'k2' }));
    expect(await records('rotated')).toEqual(['credential-rotation']);
    await robot.passes(change('rotated', { key: 'k3' }));
    expect(await records('rotated')).toEqual(['credential-rotation', 'credential-rotation']);
    await robot.passes(change('plain', { key: 'k2' }));
    await robot.passes(patch('-n prod secret rotated', { metadata: { annotations: { a: 'b' } } }));
    expect([await records('plain'), await records('rotated')]).toMatchObject([[], { length: 2 }]);
    const { stdout } = await robot.passes(words('-n prod get sua -o jsonpath={.items[*].spec.origin}'));
    expect(stdout).toContain('Auto');
  });

  test.each<readonly [string, Try, string]>([
    ['deletion', words('-n prod delete secret revoked'), 'DELETE secrets prod/revoked'],
    ['a key taken out', patch('-n prod secret revoked', { data: { key: null } }), 'UPDATE secrets prod/revoked'],
    ['a key emptied', change('revoked', { key: '' }), 'UPDATE secrets prod/revoked'],
    ['the mark taken away', words(`-n prod label secret revoked ${mark}-`), 'UPDATE secrets prod/revoked'],
    ['another mark', words(`-n prod label --overwrite secret revoked ${mark}=x`), 'UPDATE secrets prod/revoked'],
    [
      'the mark taken away along with new data',
      change('revoked', { key: 'k2' }, { metadata: { labels: { [mark]: null } } }),
      'UPDATE secrets prod/revoked',
    ],
    [
      'an owner whose end would be its own',
      patch('-n prod secret revoked', {
        metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'x', uid: 'gone' }] },
      }),
      'DELETE secrets prod/revoked',
    ],
  ])('%s is refused', async (_, one, target) => {
    await robot.refused(one, says(target));
  });

  test('new data along with what may end the Secret is no rotation', async () => {
    const finalizer = { metadata: { finalizers: ['example.com/hold'] } };
    await robot.refused(change('ended', { key: 'k2' }, finalizer), says('UPDATE secrets prod/ended'));
    const owner = { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'x', uid: 'gone' }] };
    const both = await robot.refused(change('ended', { key: 'k2' }, { metadata: owner }), 'SeveralEffects');
    expect(both.stderr).toContain('key-revocation');
    expect(await records('ended')).toEqual(['key-revocation']);
    await robot.passes(change('ended', { key: 'k3' }));
    await robot.passes(patch('-n prod secret ended', finalizer));
    expect(await records('ended')).toEqual(['credential-rotation', 'key-revocation']);
  });

  test('the same is no matter of an unmarked Secret', async () => {
    await robot.passes(patch('-n prod secret plain', { data: { key: null } }));
    await robot.passes(words(`-n prod label secret plain ${mark}=payments`));
  });

  test('new data that takes a key away is for people as a whole, and recorded by key-revocation alone', async () => {
    const one = patch('-n prod secret dropped', { data: { user: null }, stringData: { key: 'k2' } });
    await robot.passesOnce(one, says('UPDATE secrets prod/dropped'), change('dropped', { user: 'u', key: 'k' }));
    expect(new Set(await records('dropped'))).toEqual(new Set(['key-revocation']));
    await robot.passes(change('dropped', { user: 'u2', key: 'k2' }));
    const rotations = (await records('dropped')).filter((name) => name === 'credential-rotation');
    expect(rotations).toHaveLength(1);
  });

  test('an approval takes the mark away once, and then nobody is asked', async () => {
    const unmark = words(`-n prod label secret unmarked ${mark}-`);
    await robot.approve(await robot.run(unmark));
    await robot.passes(unmark);
    await robot.passes(words('-n prod delete secret unmarked'));
  });
});

describe('new-egress', () => {
  const says = (what: string) => `stepup: new-egress requires approval to ${what}`;
  const to = (cidr: string) => ({ to: [{ ipBlock: { cidr } }] });
  const policy = (name: string, spec: object, namespace = 'prod') => ({
    ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
    ...{ metadata: { name, namespace }, spec: { podSelector: {}, ...spec } },
  });
  const restricting = { policyTypes: ['Egress'], egress: [to('10.0.0.0/8'), to('10.1.0.0/16')] };

  beforeAll(() =>
    apply(stepup.cluster, [
      policy('restricts', restricting),
      policy('narrowed', restricting),
      policy('ingress', { policyTypes: ['Ingress'] }),
    ]),
  );

  const restricts = (spec: object) => patch('-n prod networkpolicy restricts', { spec });
  test.each<readonly [string, Try, string]>([
    ['a policy that allows', create(policy('new', { egress: [to('0.0.0.0/0')] })), 'CREATE networkpolicies prod/new'],
    ['one that allows all', create(policy('all', { egress: [{}] })), 'CREATE networkpolicies prod/all'],
    [
      'one more rule',
      restricts({ egress: [to('10.0.0.0/8'), to('0.0.0.0/0')] }),
      'UPDATE networkpolicies prod/restricts',
    ],
    ['egress left out', restricts({ policyTypes: ['Ingress'], egress: null }), 'UPDATE networkpolicies prod/restricts'],
    [
      'pods left out',
      restricts({ podSelector: { matchLabels: { app: 'x' } } }),
      'UPDATE networkpolicies prod/restricts',
    ],
    ['deletion', words('-n prod delete networkpolicy restricts'), 'DELETE networkpolicies prod/restricts'],
    [
      'rules that become effective',
      patch('-n prod networkpolicy ingress', { spec: { policyTypes: ['Ingress', 'Egress'], egress: [{}] } }),
      'UPDATE networkpolicies prod/ingress',
    ],
    ['its namespace deleted', words('delete namespace prod'), ''],
  ])('%s is refused', async (_, one, target) => {
    if (target === '')
      await robot.refused(one, 'stepup: namespace-deletion requires approval to DELETE namespaces prod');
    else await robot.refused(one, says(target));
  });

  test('what only closes, and what is about ingress, passes; and all of it outside production', async () => {
    await robot.passes(create(policy('closes', { policyTypes: ['Egress'] })));
    await robot.passes(patch('-n prod networkpolicy narrowed', { spec: { egress: [to('10.1.0.0/16')] } }));
    await robot.passes(patch('-n prod networkpolicy ingress', { spec: { podSelector: { matchLabels: { a: 'b' } } } }));
    await robot.passes(words('-n prod delete networkpolicy ingress'));
    await robot.passes(create(policy('open', { egress: [{}] }, 'dev')));
    await robot.passes(words('-n dev delete networkpolicy open'));
  });

  test('an approval opens one way, once', async () => {
    const one = create(policy('approved', { egress: [to('192.0.2.0/24')] }));
    const other = create(policy('approved', { egress: [to('192.0.0.0/16')] }));
    await robot.refused(other, says('CREATE networkpolicies prod/approved'));
    await robot.passesOnce(
      one,
      says('CREATE networkpolicies prod/approved'),
      words('-n prod delete networkpolicy approved'),
    );
  });
});

describe('stepup observed', () => {
  const binary = fileURLToPath(new URL('../../../src/cmd/stepup.ts', import.meta.url));
  const observed = (args: readonly string[], kubeconfig = stepup.kubeconfigs.approver) =>
    runCommand(process.execPath, [binary, 'observed', '--kubeconfig', kubeconfig, ...args], { env: {} });

  test('says that nothing would have been blocked, then what would have been', async () => {
    await apply(stepup.cluster, [
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'seen', namespace: 'prod' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'seen', namespace: 'dev' } },
    ]);
    await robot.passes(words('-n dev delete secret seen'));
    const before = await observed([observing, '-o', 'json']);
    expect(before.code, before.stderr).toBeLessThan(2);
    for (const _ of [1, 2]) {
      await robot.passes(words('-n prod delete secret seen'));
      await apply(stepup.cluster, [
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'seen', namespace: 'prod' } },
      ]);
    }
    const found = await eventually('the counts to be written', async () => {
      const { code, stdout } = await observed(['-o', 'json']);
      const { blocked } = JSON.parse(stdout) as { blocked: { target: string; count: number }[] };
      const seen = blocked.find(({ target }) => target === 'prod/seen');
      return seen?.count === 2 ? { code, seen, blocked } : undefined;
    });
    expect(found.code).toBe(1);
    expect(found.seen).toEqual({
      ...{ policy: observing, requester: 'ci/root-bot', action: 'DELETE secrets', target: 'prod/seen' },
      ...{ reason: 'ApprovalRequired', count: 2, lastAt: expect.any(String) },
    });
    expect(found.blocked.map(({ target }) => target)).not.toContain('dev/seen');
    const table = await observed([]);
    expect(table.stdout).toMatch(
      /POLICY +REQUESTER +ACTION +TARGET +COUNT +LAST SEEN +REASON\n[\s\S]*secret-deletion +ci\/root-bot +DELETE secrets +prod\/seen +2 +\d+s ago +ApprovalRequired\n/,
    );
    expect((await observed(['-o', 'wide'])).stdout).toContain('no approval covers the request yet');
  });

  test.each([
    [
      'a policy that enforces',
      ['new-egress'],
      'policy new-egress is in mode Enforce: list what it blocks with kubectl get sua -A',
    ],
    ['no such policy', ['nothing'], 'policy nothing does not exist'],
  ])('cannot look at %s', async (_, args, said) => {
    const { code, stderr, stdout } = await observed(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`stepup observed: ${said}`);
  });

  test('says which right is missing', async () => {
    const nobody = await stepup.cluster.userKubeconfig('nobody', { user: 'nobody', groups: [] });
    const { code, stderr } = await observed([], nobody);
    expect(code).toBe(2);
    expect(stderr).toContain('you cannot list stepuppolicies: have the ClusterRole stepup-viewer bound to you');
  });
});
