// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The people and machines of these stories, over one connection: the admin impersonates them.
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import type { ObjectKey } from '../../../src/kube/objects/resource.ts';
import type { Answer } from '../control-plane/admin-client.ts';
import { eventually } from '../eventually.ts';
import { deployerName, handWritten } from './hand-written.ts';
import { type Installation, systemNamespace } from './installation.ts';

export type Who = 'admin' | 'ada' | 'grace' | 'deployer' | 'stepup';

const headersOf: Readonly<Record<Who, Readonly<Record<string, string>>>> = {
  admin: {},
  ada: { 'impersonate-user': 'ada', 'impersonate-group': 'approvers' },
  grace: { 'impersonate-user': 'grace', 'impersonate-group': 'approvers' },
  deployer: { 'impersonate-user': deployerName, 'impersonate-group': 'system:serviceaccounts' },
  /** stepup's own account, which is not stamped: as it files, and as the release before has filed. */
  stepup: { 'impersonate-user': `system:serviceaccount:${systemNamespace}:stepup` },
};

export interface Said {
  readonly code: number;
  readonly isDone: boolean;
  readonly message: string;
  readonly body: unknown;
}

const group = '/apis/stepup.dev/v1alpha1/namespaces';
export const approvalsIn = (namespace: string) => `${group}/${namespace}/stepupapprovals`;
export const decisionsIn = (namespace: string) => `${group}/${namespace}/stepupdecisions`;

export type Key = Required<ObjectKey>;
export const pathOf = ({ namespace, name }: Key) => `${approvalsIn(namespace)}/${name}`;

export class Actors {
  readonly #stepup: Installation;

  constructor(stepup: Installation) {
    this.#stepup = stepup;
  }

  async send(who: Who, method: string, path: string, body?: unknown): Promise<Said> {
    const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const headers = headersOf[who];
    const answer: Answer = await this.#stepup.cluster.admin.send(method, path, { body, contentType, headers });
    const { message = '' } = answer.body as { message?: string };
    return { code: answer.code, isDone: answer.code < 300, message, body: answer.body };
  }

  /** As above, and throws unless it is done. */
  async do<T = unknown>(who: Who, method: string, path: string, body?: unknown): Promise<T> {
    const said = await this.send(who, method, path, body);
    if (!said.isDone) throw new Error(`${who}: ${method} ${path}: ${said.code} ${said.message}`);
    return said.body as T;
  }

  read(key: Key): Promise<StepUpApproval> {
    return this.do('admin', 'GET', pathOf(key));
  }

  async uses(key: Key): Promise<number> {
    return (await this.read(key)).status?.uses?.length ?? 0;
  }

  /** Waits for a phase, or for what a test expects of the whole object. */
  async reached(key: Key, wanted: string | ((approval: StepUpApproval) => boolean)): Promise<StepUpApproval> {
    const isThere = (approval: StepUpApproval) =>
      typeof wanted === 'string' ? approval.status?.phase === wanted : wanted(approval);
    return eventually(
      `${key.name} to be ${typeof wanted === 'string' ? wanted : 'as expected'}`,
      async () => {
        const approval = await this.read(key);
        if (!isThere(approval)) throw new Error(`it is ${JSON.stringify(approval.status ?? {})}`);
        return approval;
      },
      { timeoutMs: 20_000 },
    );
  }

  /** The decision that the approval itself says approves it. */
  async approve(key: Key, who: Who = 'ada'): Promise<Said> {
    const { status } = await this.reached(key, ({ status }) => status?.approveWith !== undefined);
    return this.send(who, 'POST', decisionsIn(key.namespace), JSON.parse(status?.approveWith ?? ''));
  }

  /** An approver applies an approval by hand, which is a vote. */
  async applied(policy: string, action: Action, spec: object = {}): Promise<Key> {
    const { namespace } = action;
    const object = byHand(policy, action, spec);
    const made = await this.do<StepUpApproval>('ada', 'POST', approvalsIn(namespace), object);
    return { namespace, name: made.metadata.name };
  }

  /** The approvals of a target, whoever made them. */
  async about(namespace: string, name: string): Promise<readonly StepUpApproval[]> {
    const { items } = await this.do<{ items: StepUpApproval[] }>('admin', 'GET', approvalsIn(namespace));
    return items.filter(({ spec }) => spec.action.name === name);
  }
}

export interface Action {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly namespace: string;
  readonly name: string;
}

/** An approval of a change to a ConfigMap, as somebody writes it by hand. */
export const byHand = (policy: string, { operation, namespace, name }: Action, spec: object = {}) =>
  handWritten(
    { generateName: `${policy}-${name}-` },
    { operation, resource: 'configmaps', namespace, name },
    { policy: { name: policy }, ...spec },
  );

export const configMaps = (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps`;

/** The deployer tries a change to a ConfigMap; every value is another content. */
export function tried(actors: Actors, { operation, namespace, name }: Action, value = 'a'): Promise<Said> {
  const path = configMaps(namespace);
  switch (operation) {
    case 'CREATE':
      return actors.send('deployer', 'POST', path, { metadata: { name }, data: { value } });
    case 'UPDATE':
      return actors.send('deployer', 'PATCH', `${path}/${name}`, { data: { value } });
    case 'DELETE':
      return actors.send('deployer', 'DELETE', `${path}/${name}`);
  }
}

/** Puts the target back to where an effect of the change can be seen anew, as somebody who is not gated. */
export async function putBack(actors: Actors, { operation, namespace, name }: Action): Promise<void> {
  const path = configMaps(namespace);
  if (operation === 'CREATE') {
    await actors.send('admin', 'DELETE', `${path}/${name}`);
    return;
  }
  const { code } = await actors.send('admin', 'POST', path, { metadata: { name }, data: { value: 'before' } });
  if (code === 409) await actors.do('admin', 'PATCH', `${path}/${name}`, { data: { value: 'before' } });
}

/** How many of several tries have had their effect, each with the target put back before. */
export async function effects(actors: Actors, action: Action, tries = 2): Promise<number> {
  let persisted = 0;
  for (let one = 0; one < tries; one++) {
    await putBack(actors, action);
    if ((await tried(actors, action)).isDone) persisted += 1;
  }
  return persisted;
}
