// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The keys for seals: Ed25519 (RFC 8032), several at a time, so that one can replace another.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { SealCheck, Seals } from '../model/seal-check.ts';

/** A key as the Secret stores it. */
export interface KeptKey {
  readonly createdAt: string;
  /** PKCS #8, PEM. */
  readonly privateKey: string;
}

interface Key {
  readonly id: string;
  readonly createdAtMs: number;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** For so long a new key only verifies: every replica must know a key before one of them seals with it. */
const settleMs = 600_000;

export class Keyring implements Seals {
  readonly #keys: readonly Key[];
  readonly #nowMs: () => number;

  private constructor(keys: readonly Key[], nowMs: () => number) {
    this.#keys = keys;
    this.#nowMs = nowMs;
  }

  /** A keyring of these keys, or a sentence about what is wrong with them, which never contains a key. */
  static of(kept: readonly KeptKey[], nowMs: () => number): Keyring | string {
    if (kept.length === 0) return 'it has no key';
    const keys: Key[] = [];
    for (const [index, one] of kept.entries()) {
      const key = publicKeyOf(one);
      if (typeof key === 'string') return `key ${index + 1}: ${key}`;
      keys.push(key);
    }
    return new Keyring(
      keys.sort((a, b) => a.createdAtMs - b.createdAtMs),
      nowMs,
    );
  }

  /** `<key id>:<signature in base64url>`. */
  sign(statement: string): string {
    const settled = this.#keys.filter(({ createdAtMs }) => createdAtMs + settleMs <= this.#nowMs());
    const key = settled.at(-1) ?? this.#keys[0];
    if (key === undefined) throw new Error('seal: there is no key');
    return `${key.id}:${sign(null, Buffer.from(statement), key.privateKey).toString('base64url')}`;
  }

  check(statement: string, seal: string | undefined): SealCheck {
    if (seal === undefined || seal === '') return 'Missing';
    const [id = '', signature = ''] = seal.split(':');
    const key = this.#keys.find((one) => one.id === id);
    if (key === undefined) return 'UnknownKey';
    const isValid = verify(null, Buffer.from(statement), key.publicKey, Buffer.from(signature, 'base64url'));
    return isValid ? 'Sealed' : 'Broken';
  }
}

function publicKeyOf({ createdAt, privateKey: pem }: KeptKey): Key | string {
  const createdAtMs = Date.parse(createdAt);
  if (Number.isNaN(createdAtMs)) return 'createdAt is not a timestamp';
  try {
    const privateKey = createPrivateKey(pem);
    if (privateKey.asymmetricKeyType !== 'ed25519') return 'it is not an Ed25519 key';
    const publicKey = createPublicKey(privateKey);
    const der = publicKey.export({ type: 'spki', format: 'der' });
    const id = createHash('sha256').update(der).digest('hex').slice(0, 16);
    return { id, createdAtMs, privateKey, publicKey };
  } catch {
    return 'it is not PEM';
  }
}
