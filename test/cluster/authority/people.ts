// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// People and machines with exactly the rights that a test gives them, and what they say about approvals.
import type { StepUpApproval, StepUpDecision } from '../../../src/api/kinds.ts';
import { eventually } from '../../support/eventually.ts';
import { apply, type Installation } from '../../support/installation/installation.ts';

export interface Someone {
  readonly user: string;
  readonly groups?: readonly string[];
}

export interface Said {
  readonly code: number;
  readonly message: string;
  readonly body: unknown;
}

export interface Key {
  readonly namespace: string;
  readonly name: string;
}

/** A Service, of which stepup may see what became, and which needs no address. */
export const headless = (name: string, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, ...metadata },
  spec: { clusterIP: 'None', ports: [{ port: 80 }] },
});

const kinds = '/apis/stepup.dev/v1alpha1/namespaces';
const rbac = 'rbac.authorization.k8s.io';

export const account = (namespace: string, name: string): Someone => ({
  user: `system:serviceaccount:${namespace}:${name}`,
});

export class People {
  readonly #stepup: Installation;

  constructor(stepup: Installation) {
    this.#stepup = stepup;
  }

  /** A request as the API server sees it come from somebody; groups of service accounts are added by it. */
  async send({ user, groups = [] }: Someone, method: string, path: string, body?: unknown): Promise<Said> {
    const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const named: Record<string, string> = { 'impersonate-user': user };
    // The admin client takes one value for a header, so nobody here has two groups of their own.
    const [group] = groups;
    if (group !== undefined) named['impersonate-group'] = group;
    const answer = await this.#stepup.cluster.admin.send(method, path, { body, contentType, headers: named });
    return { code: answer.code, message: (answer.body as { message?: string }).message ?? '', body: answer.body };
  }

  read({ namespace, name }: Key): Promise<StepUpApproval> {
    return this.#stepup.cluster.admin.get<StepUpApproval & { metadata: { name: string } }>(
      `${kinds}/${namespace}/stepupapprovals/${name}`,
    );
  }

  /** Waits until an approval is as expected. */
  async reached(key: Key, what: string, isThere: (approval: StepUpApproval) => boolean): Promise<StepUpApproval> {
    return eventually(
      `${key.name} to be ${what}`,
      async () => {
        const approval = await this.read(key);
        if (!isThere(approval)) throw new Error(`it is ${JSON.stringify(approval.status ?? {})}`);
        return approval;
      },
      { timeoutMs: 30_000 },
    );
  }

  phase(key: Key, phase: string): Promise<StepUpApproval> {
    return this.reached(key, phase, ({ status }) => status?.phase === phase);
  }

  /** A decision about an approval, by default to approve it. */
  async decide(who: Someone, key: Key, over: Partial<StepUpDecision['spec']> = {}): Promise<Said> {
    const { metadata, spec } = await this.read(key);
    const digest = spec.change?.digest;
    const approval = { name: key.name, uid: metadata.uid, ...(digest === undefined ? {} : { digest }) };
    return this.send(who, 'POST', `${kinds}/${key.namespace}/stepupdecisions`, {
      apiVersion: 'stepup.dev/v1alpha1',
      kind: 'StepUpDecision',
      metadata: { generateName: 'word-' },
      spec: { approval, verdict: 'Approve', ...over },
    });
  }

  /** Binds a ClusterRole to somebody, in the whole cluster or in one namespace. */
  async bind(role: string, { user, groups = [] }: Someone, namespace?: string): Promise<void> {
    const [kind, name] = groups[0] === undefined ? ['User', user] : ['Group', groups[0]];
    await apply(this.#stepup.cluster, [
      {
        apiVersion: `${rbac}/v1`,
        kind: namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding',
        metadata: {
          name: `${role}-${name}`.replaceAll(':', '-'),
          ...(namespace === undefined ? {} : { namespace }),
        },
        roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
        subjects: [{ apiGroup: rbac, kind, name }],
      },
    ]);
  }
}

/** The approval that a refusal names. */
export function approvalIn({ code, message }: Said): Key {
  const [, namespace, name] = /Approval ([a-z0-9-]+)\/([a-z0-9.-]+)\./.exec(message) ?? [];
  if (code !== 403 || namespace === undefined || name === undefined) throw new Error(`${code} ${message}`);
  return { namespace, name };
}
