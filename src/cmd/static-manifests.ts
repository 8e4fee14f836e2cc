// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// stepup static-manifests: prints the guard for API servers that read admission policies from files.
import { dump } from 'js-yaml';
import { serviceAccountPrefix } from '../domain/model/subject.ts';
import { staticGuards } from '../operator/guard/guard-files.ts';

export interface StaticManifestsOptions {
  readonly namespace: string;
  readonly release: string;
  readonly guardExempt: readonly string[];
}

/**
 * The files' text. It is made from what is given and not read from a cluster: what somebody has put into the guard there must
 * not get into files that nobody can take it out of.
 */
export function staticManifests({ namespace, release, guardExempt }: StaticManifestsOptions): string {
  const account = (name: string) => `${serviceAccountPrefix}${namespace}:${name}`;
  const manifests = staticGuards({
    ownUsername: account(release),
    exempt: [account(`${release}-uninstall`), ...guardExempt],
    namespace,
    release,
  });
  return manifests.map((one) => `---\n${dump(one, { lineWidth: -1, noRefs: true })}`).join('');
}
