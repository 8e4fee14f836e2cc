// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the webhook reads from the API server besides stepup's own kinds: live targets, access reviews, and who else
// may change objects on their way.
import type { ApiRequest } from '../../../src/kube/http/rest.ts';
import type { KubeObject } from '../../../src/kube/objects/objects.ts';
import { status } from './fake-kinds.ts';

export class FakeApiServer {
  /** What live reads of targets find, by path; what is not here is not found. */
  readonly targets = new Map<string, object | Error>();
  readonly targetReads: string[] = [];
  /** What SubjectAccessReviews are asked, and how they are answered. */
  readonly rights = new FakeRights();
  /** Mutating admission policies that the API server lists. */
  foreign: readonly KubeObject[] = [];

  async request({ path, body }: ApiRequest): Promise<unknown> {
    if (path.endsWith('/subjectaccessreviews')) return this.rights.answer(body as AccessReview);
    if (path.includes('/mutatingwebhookconfigurations')) return { metadata: {}, items: [] };
    if (path.includes('/mutatingadmissionpolicies')) return { metadata: {}, items: this.foreign };
    if (!path.includes('/serviceaccounts/')) this.targetReads.push(path);
    const found = this.targets.get(path) ?? status(404, 'NotFound');
    if (found instanceof Error) throw found;
    return found;
  }

  stream(): Promise<never> {
    return Promise.reject(new Error('nothing is watched here'));
  }
}

interface AccessReview {
  readonly spec: {
    readonly user: string;
    readonly resourceAttributes: { readonly verb: string; readonly resource: string; readonly name?: string };
  };
}

/** RBAC in which everybody may approve and bypass but where a test takes it away, and nobody anything else. */
class FakeRights {
  readonly asked: AccessReview['spec'][] = [];
  /** Such as "ada approve two". */
  readonly withheld = new Set<string>();
  /** Such as "system:serviceaccount:ci:deployer impersonate users ada". */
  readonly granted = new Set<string>();
  error: Error | undefined;

  answer({ spec }: AccessReview): object {
    if (this.error !== undefined) throw this.error;
    const { verb, resource, name } = spec.resourceAttributes;
    if (resource !== 'stepuppolicies') {
      return { status: { allowed: this.granted.has([spec.user, verb, resource, name].filter(Boolean).join(' ')) } };
    }
    this.asked.push(spec);
    return { status: { allowed: !this.withheld.has(`${spec.user} ${verb} ${name}`) } };
  }
}
