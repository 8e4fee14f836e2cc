// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the keyring: creates it once, adds a key when the newest is old, and restores it when somebody changes it.
import { generateKeyPairSync } from 'node:crypto';
import { after } from '../../domain/model/deadlines.ts';
import { type KeptKey, Keyring } from '../../domain/seals/keyring.ts';
import { isAlreadyExists, isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { Secret } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { RepeatedTask } from '../../kube/watch/repeated-task.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import { isSameAsSent } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import { keyringSecretType, readKeyring, writeKeyring } from '../../replica/keyring-secret.ts';

export interface KeyringKeeperOptions {
  readonly client: Pick<ResourceClient<Secret>, 'create' | 'replace'>;
  readonly secrets: Watched<Secret>;
  readonly secret: { readonly namespace: string; readonly name: string };
  /** Told when a keyring that was there had to be put back. */
  readonly onRestored: () => void;
  readonly log: Log;
  readonly clock: Clock;
}

/** A key seals for so long. */
const rotationSeconds = 90 * 86_400;
/** Votes of so many keys count: an approval lives for days, never for half a year. */
const mostKeys = 3;
const againMs = 50;
const longestMs = 3_600_000;

export class KeyringKeeper {
  readonly #options: KeyringKeeperOptions;
  readonly #task: RepeatedTask;
  /** What was stored last: other keys would make every vote so far worthless. */
  #known: readonly KeptKey[] | undefined;

  constructor(options: KeyringKeeperOptions) {
    this.#options = options;
    this.#task = new RepeatedTask({
      process: () => this.#process(),
      onError: (error) => options.log.warn(errorFields(error), 'keeping the keyring failed'),
      clock: options.clock,
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#task.run(signal, [this.#options.secrets]);
  }

  async #process(): Promise<void> {
    const { secrets, secret: id, clock, log, onRestored } = this.#options;
    const secret = secrets.objects.get(id);
    const now = clock.now();
    const stored = secret === undefined ? 'it does not exist' : usable(readKeyring(secret));
    // Only the leader adds keys: whoever could write another one there would vote as anybody.
    const isForeign = this.#known !== undefined && !isSameAsSent(stored, this.#known);
    if (this.#known !== undefined && isForeign) {
      const problem = typeof stored === 'string' ? stored : 'it has other keys';
      log.warn({ secret: id.name, problem }, 'restoring the keyring');
      await this.#store(secret, this.#known);
      onRestored();
      return;
    }
    if (typeof stored === 'string') {
      // Keys that nobody can read any more are for an admin to restore or to delete: all votes hang on them.
      if (secret !== undefined)
        throw new Error(`secret ${id.namespace}/${id.name}: ${stored}; restore it, or delete it`);
      log.info({ secret: id.name }, 'created a keyring');
      return this.#store(secret, [newKey(now)]);
    }
    this.#known = stored;
    const newest = Math.max(...stored.map(({ createdAt }) => Date.parse(createdAt)));
    const rotateAt = after(new Date(newest), rotationSeconds);
    if (now < rotateAt) {
      this.#task.checkAfter(Math.min(Math.max(rotateAt.getTime() - now.getTime(), 1000), longestMs));
      return;
    }
    log.info({ secret: id.name }, 'added a key to the keyring');
    await this.#store(secret, [...stored, newKey(now)].slice(-mostKeys));
  }

  async #store(secret: Secret | undefined, keys: readonly KeptKey[]): Promise<void> {
    const { client, secret: id } = this.#options;
    const data = writeKeyring(keys);
    try {
      if (secret === undefined) await client.create({ metadata: id, type: keyringSecretType, data });
      else await client.replace({ ...secret, data });
      this.#known = keys;
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error) && !isNotFound(error)) throw error;
      this.#task.checkAfter(againMs);
    }
  }
}

function usable(kept: readonly KeptKey[] | string): readonly KeptKey[] | string {
  if (typeof kept === 'string') return kept;
  const ring = Keyring.of(kept, () => 0);
  return typeof ring === 'string' ? ring : kept;
}

function newKey(now: Date): KeptKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  return {
    createdAt: now.toISOString(),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
