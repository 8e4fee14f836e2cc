// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup doctor: lists the accounts and grants that can get around stepup, read with the caller's own permissions.

import type { StepUpPolicy } from '../api/kinds.ts';
import { stepUpPolicies } from '../api/own-resources.ts';
import type { Binding, Grants, Role } from '../domain/integrity/rbac.ts';
import { type Finding, powersIn } from '../domain/integrity/rbac-findings.ts';
import { serviceAccountPrefix } from '../domain/model/subject.ts';
import { unlessNotFound } from '../kube/http/api-error.ts';
import type { RestClient } from '../kube/http/rest.ts';
import type { KubeObject } from '../kube/objects/objects.ts';
import type { Resource } from '../kube/objects/resource.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import * as resources from '../kube/objects/resources.ts';
import { defined } from '../lib/json.ts';
import { visibleLine } from '../lib/visible-text.ts';
import { connectAsUser } from './connect.ts';

export interface DoctorOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace: string;
  readonly release: string;
  readonly output: 'text' | 'json';
}

export const doctorExit = { fine: 0, findings: 1, notDone: 2 } as const;

/** Prints what it finds; resolves to the exit code. Rejects where the API server cannot be asked. */
export async function doctor(options: DoctorOptions, print: (text: string) => void): Promise<number> {
  const rest = await connectAsUser(options);
  try {
    const findings = powersIn(await readGrants(rest), {
      namespace: options.namespace,
      own: ['', '-uninstall'].map((end) => `${serviceAccountPrefix}${options.namespace}:${options.release}${end}`),
      gated: await readGated(rest),
    });
    print(options.output === 'json' ? `${JSON.stringify({ findings }, null, 2)}\n` : doctorText(findings));
    return findings.length === 0 ? doctorExit.fine : doctorExit.findings;
  } finally {
    rest.close();
  }
}

type RoleObject = KubeObject & Pick<Role, 'rules'>;
type BindingObject = KubeObject & Pick<Binding, 'roleRef' | 'subjects'>;

async function readGrants(rest: RestClient): Promise<Grants> {
  const list = async <T extends KubeObject>(resource: Resource) =>
    (await new ResourceClient<T>(rest, resource).list()).items;
  const role =
    (kind: Role['kind']) =>
    ({ metadata, rules }: RoleObject): Role => ({ kind, ...subjectText(metadata), rules: rules ?? null });
  const binding =
    (kind: Binding['kind']) =>
    ({ metadata, roleRef, subjects }: BindingObject): Binding => ({
      kind,
      ...subjectText(metadata),
      roleRef,
      subjects: subjects ?? null,
    });
  return {
    roles: [
      ...(await list<RoleObject>(resources.clusterRoles)).map(role('ClusterRole')),
      ...(await list<RoleObject>(resources.roles)).map(role('Role')),
    ],
    bindings: [
      ...(await list<BindingObject>(resources.clusterRoleBindings)).map(binding('ClusterRoleBinding')),
      ...(await list<BindingObject>(resources.roleBindings)).map(binding('RoleBinding')),
    ],
  };
}

function subjectText({ name, namespace }: KubeObject['metadata']): {
  readonly name: string;
  readonly namespace?: string;
} {
  return { name, ...defined({ namespace }) };
}

/** Whom the policies gate; also before stepup is installed it can be asked who would be a danger. */
async function readGated(rest: RestClient) {
  const listed = await unlessNotFound(new ResourceClient<StepUpPolicy>(rest, stepUpPolicies).list());
  return (listed?.items ?? []).map(({ spec }) => spec.subjects);
}

/** Names are up to 253 characters, and a grant names two objects. */
const mostCharacters = 1024;

/** For people: each account with what it may do and by which grant, then what to do about it. */
export function doctorText(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'No gated account has permissions that get around stepup.\n';
  const accounts = [...new Set(findings.map(({ who }) => who))];
  const blocks = accounts.map((account) => {
    const lines = findings
      .filter(({ who }) => who === account)
      // RBAC takes nearly any name, and whoever makes a binding chooses it.
      .map(({ power, why, by }) => `  ${power}: ${why}, by ${visibleLine(by, mostCharacters)}\n`);
    return `${visibleLine(account, mostCharacters)}\n${lines.join('')}`;
  });
  const count = accounts.length === 1 ? '1 gated account or group' : `${accounts.length} gated accounts and groups`;
  return `${blocks.join('\n')}\n${count} can get around stepup. Bind the ClusterRoles stepup-gated-admin and stepup-gated-admin-cluster instead, or remove the listed permissions.\n`;
}
