// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The Secret with the keyring: its format, and the copy in every replica.
import { CurrentSealing, type Sealing } from '../api/sealing.ts';
import { type KeptKey, Keyring } from '../domain/seals/keyring.ts';
import type { Secret } from '../kube/objects/objects.ts';
import type { Clock } from '../kube/time/clock.ts';
import { type ListWatch, Reflector } from '../kube/watch/reflector.ts';
import { decodeBase64, encodeBase64 } from '../lib/base64.ts';

export const keyringSecretType = 'stepup.dev/keyring';
const member = 'keyring.json';

/** The keys of a Secret, or a sentence on what is wrong with it; it never quotes a value. */
export function readKeyring(secret: Secret): readonly KeptKey[] | string {
  const text = decodeBase64(secret.data?.[member]);
  if (text === '') return `${member} is missing`;
  try {
    const { keys } = JSON.parse(text) as { readonly keys?: unknown };
    return Array.isArray(keys) && keys.every(isKept) ? keys : `${member} is not a list of keys`;
  } catch {
    return `${member} is not JSON`;
  }
}

export function writeKeyring(keys: readonly KeptKey[]): Readonly<Record<string, string>> {
  return { [member]: encodeBase64(`${JSON.stringify({ keys }, null, 2)}\n`) };
}

function isKept(value: unknown): value is KeptKey {
  const { createdAt, privateKey } = (value ?? {}) as Partial<KeptKey>;
  return typeof createdAt === 'string' && typeof privateKey === 'string';
}

export interface FollowedKeyring {
  readonly sealing: Sealing;
  /** Why there is no key, each a sentence; a Secret that is broken or gone leaves the keys in place that it had. */
  problems(): readonly string[];
  /** Resolves once there is a key. */
  readonly known: Promise<void>;
  /** The Secret as it was seen last. */
  readonly secrets: Reflector<Secret>;
  /** Resolves when the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export interface FollowKeyringOptions {
  readonly source: ListWatch<Secret>;
  readonly secret: { readonly namespace: string; readonly name: string };
  readonly clock: Clock;
  /** A keyring was read, and is in use. */
  readonly onLoaded: (keys: number) => void;
  /** Why the Secret is of no use, in a sentence without values. */
  readonly onProblem: (problem: string) => void;
  readonly onError: (error: unknown) => void;
}

export function followKeyring(options: FollowKeyringOptions): FollowedKeyring {
  const { source, secret, clock, onLoaded, onProblem, onError } = options;
  const sealing = new CurrentSealing();
  const known = Promise.withResolvers<void>();
  let problem = `secret ${secret.namespace}/${secret.name} has not been read yet`;
  const secrets = new Reflector<Secret>({
    source,
    namespace: secret.namespace,
    fieldSelector: `metadata.name=${secret.name}`,
    clock,
    onError,
  });
  const use = (object: Secret | undefined) => {
    const kept = object === undefined ? 'it does not exist' : readKeyring(object);
    const ring = typeof kept === 'string' ? kept : Keyring.of(kept, () => clock.now().getTime());
    if (typeof ring === 'string') {
      problem = `secret ${secret.namespace}/${secret.name}: ${ring}`;
      onProblem(ring);
      return;
    }
    sealing.set(ring);
    known.resolve();
    onLoaded(kept.length);
  };
  secrets.onChange(({ type, object }) => use(type === 'set' ? object : undefined));
  return {
    sealing,
    known: known.promise,
    secrets,
    problems: () => (sealing.isKnown ? [] : [problem]),
    run: (signal) => secrets.run(signal),
  };
}
