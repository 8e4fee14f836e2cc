// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Speaks as parts of Kubernetes do: by impersonation, so that admission sees their names and groups.
import { webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import type { AdminClient, Answer } from '../../support/control-plane/admin-client.ts';

export type Speaker = (method: string, path: string, body?: object, contentType?: string) => Promise<Answer>;

/** Sends requests as that user, in that group besides those that the API server adds. */
export function speakingAs(admin: AdminClient, user: string, group?: string): Speaker {
  const headers = { 'impersonate-user': user, ...(group === undefined ? {} : { 'impersonate-group': group }) };
  return (method, path, body, contentType = 'application/merge-patch+json') =>
    admin.send(method, path, { body, headers, ...(method === 'PATCH' ? { contentType } : {}) });
}

/** What a kubelet asks for: a client certificate in its node's name. */
export async function nodeCertificateRequest(node: string): Promise<object> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ O: ['system:nodes'] }, { CN: [`system:node:${node}`] }],
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name: `kubelet-${node}` },
    spec: {
      request: Buffer.from(request.toString('pem')).toString('base64'),
      signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
      usages: ['digital signature', 'client auth'],
    },
  };
}
