// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Issues the authority and the serving certificate of the webhook: ECDSA P-256, which takes half the CPU of RSA in a
// handshake.
import 'reflect-metadata'; // @peculiar/x509 resolves its parts through it and must find it loaded
import { createPrivateKey, KeyObject, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { backdateMs } from './certificate-step.ts';

export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** An authority that lives so long. Its name tells one from the next, so that a chain never looks like another. */
export async function makeAuthority(now: Date, lifeMs: number): Promise<PemPair> {
  const keys = await generateKeys();
  const cert = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`stepup webhook ${now.toISOString()}`] }],
    keys,
    ...validity(now, now.getTime() + lifeMs),
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return { cert: cert.toString('pem'), key: privateKeyPem(keys.privateKey) };
}

/** A serving certificate signed by the authority; it lives so long, but not longer than that. */
export async function issueLeaf(
  authority: PemPair,
  names: readonly string[],
  now: Date,
  lifeMs: number,
): Promise<PemPair> {
  const keys = await generateKeys();
  const issuer = new X509Certificate(authority.cert);
  const der = createPrivateKey(authority.key).export({ format: 'der', type: 'pkcs8' });
  const cert = await X509CertificateGenerator.create({
    subject: [{ CN: [(names[0] ?? 'stepup').slice(0, 64)] }],
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey: await webcrypto.subtle.importKey('pkcs8', Uint8Array.from(der), keyAlgorithm, false, ['sign']),
    ...validity(now, Math.min(now.getTime() + lifeMs, issuer.notAfter.getTime())),
    signingAlgorithm,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))),
    ],
  });
  return { cert: cert.toString('pem'), key: privateKeyPem(keys.privateKey) };
}

/** The names by which the API server may know the Service, first the one it calls it by. */
export function serviceNames(service: string, namespace: string): readonly string[] {
  return [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.cluster.local`, `${service}.${namespace}`];
}

function validity(now: Date, endMs: number) {
  return { notBefore: new Date(now.getTime() - backdateMs), notAfter: new Date(endMs) };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

function privateKeyPem(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}
