// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a client really sent, and what it was answered: read from the API server's own audit log.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Installation } from '../../support/installation/installation.ts';

/** One request of the gated account that writes or connects. */
export interface SentRequest {
  /** The user agent up to its version: "kubectl", "Helm". */
  readonly by: string;
  /** "PATCH deployments", "DELETE pods (collection)", "CONNECT pods/exec". */
  readonly what: string;
  readonly name: string;
  readonly code: number;
  /** The Status reason of a refusal. */
  readonly reason: string;
  readonly isDryRun: boolean;
  /** What the gate noted, by its audit annotation; absent where it was not asked. */
  readonly gate?: string;
}

interface AuditEvent {
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number; readonly reason?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

const account = 'system:serviceaccount:ci:deployer';
const verbs: Readonly<Record<string, string>> = {
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETE (collection)',
};
const connects = new Set(['exec', 'attach', 'portforward', 'proxy']);

/** Reads what has been written since it was made, or since it was last asked. */
export function auditOf(installation: Pick<Installation, 'cluster'>): () => Promise<readonly SentRequest[]> {
  const path = join(installation.cluster.dir, 'audit.log');
  let offset = readFrom(path, 0).end;
  return async () => {
    // An entry is written after the answer has been sent.
    await new Promise((resolve) => setTimeout(resolve, 150));
    const { text, end } = readFrom(path, offset);
    offset = end;
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditEvent)
      .filter(({ stage, user }) => stage === 'ResponseComplete' && user.username === account)
      .flatMap(sentRequest);
  };
}

/** From an offset up to the last complete line. */
function readFrom(path: string, offset: number): { readonly text: string; readonly end: number } {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(fstatSync(file).size - offset);
    readSync(file, bytes, 0, bytes.length, offset);
    const complete = bytes.lastIndexOf('\n') + 1;
    return { text: bytes.subarray(0, complete).toString('utf8'), end: offset + complete };
  } finally {
    closeSync(file);
  }
}

function sentRequest(event: AuditEvent): readonly SentRequest[] {
  const { objectRef = {}, responseStatus = {}, annotations = {} } = event;
  const { resource = '', subresource = '', apiGroup = '' } = objectRef;
  const verb = connects.has(subresource) ? 'CONNECT' : verbs[event.verb];
  // Reviews of one's own rights are how clients ask, not how they write.
  if (verb === undefined || apiGroup === 'authorization.k8s.io') return [];
  const gate = Object.entries(annotations).find(([key]) => /gate\.stepup\.dev\/reason$/.test(key))?.[1];
  return [
    {
      by: (event.userAgent ?? '').split('/')[0] ?? '',
      what: `${verb} ${subresource === '' ? resource : `${resource}/${subresource}`}`,
      name: objectRef.name ?? '',
      code: responseStatus.code ?? 0,
      reason: responseStatus.reason ?? '',
      isDryRun: event.requestURI.includes('dryRun=All'),
      ...(gate === undefined ? {} : { gate }),
    },
  ];
}
