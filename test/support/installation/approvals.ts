// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finding approvals and deciding them the way people do: the command of the message, run as an approver.
import { eventually } from '../eventually.ts';
import type { CommandResult } from '../run-command.ts';
import type { Actor, Installation } from './installation.ts';

export interface ApprovalObject {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly spec: {
    readonly policy: { readonly name: string };
    readonly action: { readonly operation: string; readonly resource: string; readonly name: string };
    readonly change?: { readonly digest?: string; readonly preview?: { readonly diff?: string } };
  };
  readonly status?: {
    readonly phase?: string;
    readonly votes?: string;
    readonly approveWith?: string;
    readonly evidence?: string;
    readonly uses?: readonly unknown[];
  };
}

/** The approval that a denial names, as "namespace/name". */
export function approvalNamedIn(message: string): { readonly namespace: string; readonly name: string } {
  const [, namespace, name] = /Approval ([a-z0-9-]+)\/([a-z0-9.-]+)\./.exec(message) ?? [];
  if (namespace === undefined || name === undefined) throw new Error(`no approval is named in: ${message}`);
  return { namespace, name };
}

export async function getApproval(
  installation: Installation,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<ApprovalObject> {
  return installation.cluster.admin.get<
    ApprovalObject & { metadata: { name: string; namespace: string; uid: string } }
  >(`/apis/stepup.dev/v1alpha1/namespaces/${namespace}/stepupapprovals/${name}`);
}

/** Runs the two commands that the message prints, as the approver. */
export async function approve(
  installation: Installation,
  key: { readonly namespace: string; readonly name: string },
  actor: Actor = 'approver',
): Promise<CommandResult> {
  const decision = await eventually(`${key.name} to say how it is approved`, async () => {
    const args = ['-n', key.namespace, 'get', 'sua', key.name, '-o', 'jsonpath={.status.approveWith}'];
    return (await installation.kubectl(actor, args)).stdout;
  });
  return installation.kubectl(actor, ['create', '-f', '-'], { stdin: decision });
}

/** Waits until an approval has reached a phase. */
export async function phaseOf(
  installation: Installation,
  key: { readonly namespace: string; readonly name: string },
  phase: string,
  timeoutMs = 20_000,
): Promise<ApprovalObject> {
  return eventually(
    `${key.name} to be ${phase}`,
    async () => {
      const approval = await getApproval(installation, key);
      if (approval.status?.phase !== phase) throw new Error(`it is ${approval.status?.phase}`);
      return approval;
    },
    { timeoutMs },
  );
}

/** Has the approval that a denial names decided by these approvers, each with the printed command. */
export async function approveDenied(
  installation: Installation,
  denied: CommandResult,
  actors: readonly Actor[] = ['approver'],
): Promise<{ readonly namespace: string; readonly name: string }> {
  const key = approvalNamedIn(denied.stderr);
  for (const actor of actors) {
    const vote = await approve(installation, key, actor);
    if (vote.code !== 0) throw new Error(`approve ${key.name} as ${actor}: ${vote.stderr}`);
  }
  return key;
}
