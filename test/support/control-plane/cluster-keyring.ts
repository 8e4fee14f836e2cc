// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The keyring of an installation: for fixtures that are written past it and must count.

import type { Seals } from '../../../src/domain/model/seal-check.ts';
import { Keyring } from '../../../src/domain/seals/keyring.ts';
import type { Secret } from '../../../src/kube/objects/objects.ts';
import { readKeyring } from '../../../src/replica/keyring-secret.ts';
import { eventually } from '../eventually.ts';
import type { AdminClient } from './admin-client.ts';

/** Waits until the leader has made it. */
export async function clusterKeyring(
  admin: AdminClient,
  namespace = 'stepup-system',
  name = 'stepup-keys',
): Promise<Seals> {
  let found: Keyring | undefined;
  await eventually('the keyring to be there', async () => {
    const secret = await admin.get<Secret>(`/api/v1/namespaces/${namespace}/secrets/${name}`);
    const kept = readKeyring(secret);
    const ring = typeof kept === 'string' ? kept : Keyring.of(kept, Date.now);
    if (typeof ring !== 'string') found = ring;
    return found !== undefined;
  });
  if (found === undefined) throw new Error('there is no keyring');
  return found;
}
