// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What attacks need to find: who attacks, a change that waits for approval, and a gate and guard that are in force.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { eventually } from '../../support/eventually.ts';
import { approvalNamedIn, phaseOf } from '../../support/installation/approvals.ts';
import type { Installation } from '../../support/installation/installation.ts';
import { Attacker, type Said } from './attacker.ts';
import { gate, type Outcome, type Scene } from './attacks.ts';

export interface Stage {
  readonly deployer: Attacker;
  readonly rootBot: Attacker;
  readonly scene: Scene;
  /** What the guard and the gate answer just now. */
  guardProbe(): Promise<Said>;
  gateProbe(): Promise<Said>;
  close(): void;
}

const deployments = '/apis/apps/v1/namespaces/prod/deployments';
const wanted = (name: string) => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'nginx:1' }] } },
  },
});

export const isGuarded = ({ code, message }: Said) => code === 403 && message.includes('stepup guards');
export const isGated = ({ code, message }: Said) => code === 403 && message.includes('requires approval');

/** Who said no, by the words of the answer. */
export function refuserOf({ code, message }: Said): Outcome | undefined {
  if (code < 400) return undefined;
  if (message.includes('stepup guards')) return 'guard';
  if (/admission webhook "[^"]*gate\.stepup\.dev" denied/.test(message)) return 'gate';
  if (message.includes('admission webhook "stamp.stepup.dev" denied')) return 'stamp';
  if (/ cannot [a-z:-]+ resource | is attempting to grant RBAC permissions/.test(message)) return 'RBAC';
  return code === 422 ? 'kind' : undefined;
}

export async function setStage(stepup: Installation): Promise<Stage> {
  const deployer = new Attacker('system:serviceaccount:ci:deployer', stepup.kubeconfigs.deployer);
  const rootBot = new Attacker('system:serviceaccount:ci:root-bot', stepup.kubeconfigs['root-bot']);
  const guardProbe = () => rootBot.delete(`${gate}?dryRun=All`);
  // A real write: a dry run passes, with a warning.
  const gateProbe = () => deployer.post(deployments, wanted('probe'));
  await stepup.cluster.admin.post('/api/v1/namespaces/prod/secrets', { metadata: { name: 'attacked' } });
  const retry = () => deployer.post(deployments, wanted('wanted'));
  const key = approvalNamedIn((await retry()).message);
  const { status } = await phaseOf(stepup, key, 'Pending');
  await eventually('the guard to be in force', async () => isGuarded(await guardProbe()));
  return {
    deployer,
    rootBot,
    guardProbe,
    gateProbe,
    scene: {
      approval: `/apis/stepup.dev/v1alpha1/namespaces/${key.namespace}/stepupapprovals/${key.name}`,
      decision: JSON.parse(status?.approveWith ?? '{}') as object,
      retry,
      gateBack: () => eventually('the gate to be back', async () => isGated(await gateProbe()), { intervalMs: 1 }),
      csr: await certificateRequest(),
    },
    close: () => {
      deployer.close();
      rootBot.close();
    },
  };
}

/** A request for a certificate that says it is ada, of the group approvers, in base64. */
async function certificateRequest(): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const name = 'CN=ada,O=approvers';
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name, keys, signingAlgorithm: algorithm });
  return Buffer.from(request.toString('pem')).toString('base64');
}
