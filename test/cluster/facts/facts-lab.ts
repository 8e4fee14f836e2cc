// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The installed product with what facts are established by: a requester, an approver, a webhook that holds its answers,
// and, where it is asked for, an API server of the requester's own whose way to etcd can be held.

import {
  type AdminClient,
  type Answer,
  createAdminClient,
  type KubeObject,
} from '../../support/control-plane/admin-client.ts';
import type { Cluster, ControlPlane } from '../../support/control-plane/controlplane.ts';
import { requestToken } from '../../support/control-plane/service-account-token.ts';
import { eventually } from '../../support/eventually.ts';
import { type Installation, installStepup } from '../../support/installation/installation.ts';
import { type Matches, type SideWebhook, startSideWebhook } from '../../support/side-webhook.ts';
import type { StandinNode } from '../../support/stand-in-node/node.ts';
import { type ApprovalKey, approve, type Clients, textAt } from '../../support/traffic.ts';
import { type EtcdProxy, startEtcdProxy } from './etcd-proxy.ts';

/** In which phase an approval is or ended, with which evidence, after how many admissions and proofs that one lost. */
export interface Outcome {
  readonly phase: string;
  readonly evidence?: string;
  readonly uses: number;
  readonly releases: number;
}

export interface ApprovalObject extends KubeObject {
  readonly spec: {
    readonly action: { readonly operation: string; readonly name: string; readonly resource: string };
    readonly requester: { readonly username: string; readonly pod?: { readonly name: string } };
  };
  readonly status?: {
    readonly phase?: string;
    readonly evidence?: string;
    readonly uses?: readonly { readonly base: object; readonly reservedAt: string }[];
    readonly releases?: readonly object[];
    readonly usableUntil?: string;
    readonly endedAt?: string;
    readonly conditions?: readonly { readonly type: string; readonly message: string }[];
  };
}

export interface Lab {
  readonly stepup: Installation;
  readonly cluster: ControlPlane;
  readonly node: StandinNode;
  readonly admin: AdminClient;
  /** A gated account, by the API server whose way to etcd can be held. */
  readonly deployer: AdminClient;
  readonly side: SideWebhook;
  /** A client with a fresh token of another account, by the deployer's API server. */
  client(account: string, boundPod?: { readonly name: string; readonly uid: string }): Promise<AdminClient>;
  stop(): Promise<void>;
}

export interface LabOptions {
  readonly values?: readonly string[];
  readonly apiServerArgs?: readonly string[];
}

/** The rules of the side webhook: all that facts are about, and nothing of stepup's own. */
const rules = [
  { operations: ['*'], apiGroups: ['', 'apps', 'batch'], apiVersions: ['v1'], resources: ['*/*'], scope: 'Namespaced' },
  { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['namespaces'] },
];
const production = { matchLabels: { environment: 'production' } };

export async function startLab(options: LabOptions = {}): Promise<Lab> {
  return installed({ ...options });
}

export interface HeldLab extends Lab {
  /** Between the deployer's API server and etcd. */
  readonly etcd: EtcdProxy;
}

/** With two API servers: stepup uses the first one, the deployer the second, whose way to etcd can be held. */
export async function startHeldLab(options: LabOptions = {}): Promise<HeldLab> {
  let etcd: EtcdProxy | undefined;
  const lab = await installed({
    ...options,
    apiServers: 2,
    etcdPortFor: async (access, apiServer) => {
      if (apiServer === 0) return access.port;
      etcd?.close();
      etcd = await startEtcdProxy(access);
      return etcd.port;
    },
  });
  if (etcd === undefined) throw new Error('stand between an API server and etcd: no API server asked');
  const proxy = etcd;
  return {
    ...lab,
    etcd: proxy,
    stop: async () => {
      await lab.stop();
      proxy.close();
    },
  };
}

async function installed(options: Parameters<typeof installStepup>[0]): Promise<Lab> {
  const stepup = await installStepup(options);
  const { cluster, node } = stepup;
  if (!isOwn(cluster) || node === undefined) throw new Error('facts need a control plane of our own');
  const { admin, servers, ca } = cluster;
  const server = servers.at(-1) ?? cluster.server;
  const clients: AdminClient[] = [];
  const client: Lab['client'] = async (account, boundPod) => {
    const token = await requestToken(admin, account, boundPod === undefined ? {} : { boundPod });
    const made = createAdminClient({ server, ca, token });
    clients.push(made);
    return made;
  };
  const others = servers.slice(1).map((url) => cluster.adminOf(url));
  const side = await startSideWebhook(admin, 'side', { rules, namespaceSelector: production, others });
  return {
    stepup,
    cluster,
    node,
    admin,
    side,
    client,
    deployer: await client('ci/deployer'),
    stop: async () => {
      await side.close();
      for (const one of clients) one.close();
      await stepup.stop();
    },
  };
}

function isOwn(one: Cluster): one is ControlPlane {
  return 'etcd' in one;
}

type Attempt = () => Promise<Answer>;

/** The approval that a refusal names; throws where it is none of ours. */
export function approvalInDenial({ code, body }: Answer): ApprovalKey {
  const message = textAt(body, 'message');
  const [, namespace, name] = /Approval ([a-z0-9-]+)\/([a-z0-9.-]+)\./.exec(message) ?? [];
  if (code !== 403 || namespace === undefined || name === undefined) {
    throw new Error(`expected a denial that names an approval, got ${code} ${message || JSON.stringify(body)}`);
  }
  return { namespace, name };
}

/** Tries, is refused, and has the approval approved that the refusal names. */
export async function deniedThenApproved(
  lab: Lab,
  attempt: Attempt,
  voters: readonly string[] = ['ada'],
): Promise<ApprovalKey> {
  const key = approvalInDenial(await attempt());
  for (const voter of voters) await voteFor(lab, key, voter);
  await waitForPhase(lab, key, 'Approved');
  return key;
}

export async function voteFor(lab: Lab, key: ApprovalKey, voter = 'ada'): Promise<void> {
  const headers = { 'impersonate-user': voter, 'impersonate-group': 'approvers' };
  const clients: Clients = {
    deployer: lab.deployer,
    approve: (method, path, body) => lab.admin.send(method, path, { body, headers }),
    close: () => {},
  };
  const wait = async () => undefined;
  const phase = await approve(clients, key, AbortSignal.timeout(20_000), wait);
  if (phase !== 'Approved') throw new Error(`approve ${key.name} as ${voter}: it is ${phase}`);
}

export function approvalOf(lab: Lab, { namespace, name }: ApprovalKey): Promise<ApprovalObject> {
  return lab.admin.get<ApprovalObject>(`/apis/stepup.dev/v1alpha1/namespaces/${namespace}/stepupapprovals/${name}`);
}

/** Waits until an approval is in a phase. */
export function waitForPhase(lab: Lab, key: ApprovalKey, phase: string, timeoutMs = 20_000): Promise<ApprovalObject> {
  return eventually(
    `${key.name} to be ${phase}`,
    async () => {
      const approval = await approvalOf(lab, key);
      if (approval.status?.phase !== phase) throw new Error(`it is ${JSON.stringify(approval.status)}`);
      return approval;
    },
    { timeoutMs },
  );
}

/** What became of an approval, once it has ended. */
export async function waitForEnd(lab: Lab, key: ApprovalKey, timeoutMs = 20_000): Promise<Outcome> {
  const approval = await eventually(
    `${key.name} to end`,
    async () => {
      const one = await approvalOf(lab, key);
      if (one.status?.endedAt === undefined) throw new Error(`it is ${JSON.stringify(one.status)}`);
      return one;
    },
    { timeoutMs },
  );
  return outcomeOf(approval);
}

export function outcomeOf({ status = {} }: ApprovalObject): Outcome {
  const { phase = 'Pending', evidence, uses = [], releases = [] } = status;
  return { phase, ...(evidence === undefined ? {} : { evidence }), uses: uses.length, releases: releases.length };
}

/** Approvals about the object of this name, whoever filed them. */
export async function approvalsOn(lab: Lab, name: string): Promise<readonly ApprovalObject[]> {
  const { items } = await lab.admin.list<ApprovalObject>('/apis/stepup.dev/v1alpha1/stepupapprovals');
  return items.filter(({ spec }) => spec.action.name === name);
}

// What has become of an approval that was used once.
export const reservedOnce: Outcome = { phase: 'Reserved', uses: 1, releases: 0 };
export const observedOnce: Outcome = { phase: 'Consumed', evidence: 'Observed', uses: 1, releases: 0 };
export const unconfirmedOnce: Outcome = { ...observedOnce, evidence: 'Unconfirmed' };
export const expiredOnce: Outcome = { phase: 'Expired', uses: 1, releases: 0 };

export const deployerName = 'system:serviceaccount:ci:deployer';

/** Narrows to what the deployer asks: other writers are not held. */
export function byDeployer(matches: Matches): Matches {
  return (review) => review.userInfo.username === deployerName && matches(review);
}

/** Runs a request while its review is held: by then stepup has answered and reserved. */
export async function whileReviewIsHeld(
  lab: Lab,
  { key, matches, attempt }: { readonly key: ApprovalKey; readonly matches: Matches; readonly attempt: Attempt },
  work: () => Promise<void>,
): Promise<Answer> {
  const hold = lab.side.hold(matches);
  const answer = attempt();
  try {
    await hold.arrived();
    await waitForPhase(lab, key, 'Reserved');
    await work();
  } finally {
    hold.release();
  }
  return answer;
}

export function codeAndMessage({ code, body }: Answer): string {
  return `${code} ${textAt(body, 'message')}`.trim();
}

/** What is still to be said of approvals that time has to settle. */
export interface UnsettledReservation {
  readonly fact: string;
  readonly key: ApprovalKey;
  readonly expected: Outcome;
}

/** Lets an hour pass for stepup, by its own clock and with new processes, and tells what each approval has become. */
export async function anHourLater(
  lab: Lab,
  unsettled: readonly UnsettledReservation[],
): Promise<readonly UnsettledReservation[]> {
  await lab.stepup.upgrade(['extraArgs[0]=--clock-offset-ms=3600000']);
  return Promise.all(
    unsettled.map(async ({ fact, key }) => ({ fact, key, expected: await waitForEnd(lab, key, 30_000) })),
  );
}

/** The phases that each write of an approval from now on leaves it in, in order. */
export async function phasesFromNow(
  lab: Lab,
): Promise<{ of(key: ApprovalKey): Promise<readonly string[]>; close(): void }> {
  const path = '/apis/stepup.dev/v1alpha1/stepupapprovals';
  const { metadata } = await lab.admin.list(path);
  const stopping = new AbortController();
  const seen: ApprovalObject[] = [];
  const watching = (async () => {
    const from = `${path}?watch=true&resourceVersion=${metadata.resourceVersion}`;
    for await (const { object } of lab.admin.watch<ApprovalObject>(from, stopping.signal)) seen.push(object);
  })();
  watching.catch(() => {}); // then it lacks what is waited for
  return {
    of: async (key) => {
      const now = await approvalOf(lab, key);
      const states = () => seen.filter(({ metadata: { uid } }) => uid === now.metadata.uid);
      await eventually('the newest state to be seen', () => {
        return states().some(({ metadata: { resourceVersion } }) => resourceVersion === now.metadata.resourceVersion);
      });
      return states().map(({ status }) => status?.phase ?? 'Pending');
    },
    close: () => stopping.abort(),
  };
}
