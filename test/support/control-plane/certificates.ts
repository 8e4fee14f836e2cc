// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The cluster's certificate authority and the certificates it signs (ECDSA P-256, valid for a day).

import 'reflect-metadata'; // @peculiar/x509 resolves its parts through it and must find it loaded
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

interface Subject {
  readonly commonName: string;
  readonly organizations?: readonly string[];
}

export interface CertificateAuthority extends PemPair {
  /** A leaf for TLS servers at these addresses, which serves as a client certificate too. */
  issueServer(
    subject: Subject,
    hosts: { readonly dns: readonly string[]; readonly ips: readonly string[] },
  ): Promise<PemPair>;
  /** A leaf for TLS clients: Kubernetes reads the common name as the user and organizations as groups. */
  issueClient(subject: Subject): Promise<PemPair>;
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

export async function createAuthority(commonName: string): Promise<CertificateAuthority> {
  const keys = await generateKeys();
  const cert = await X509CertificateGenerator.createSelfSigned({
    name: nameOf({ commonName }),
    keys,
    ...validity(),
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature, true),
    ],
  });
  const issuer = { cert, key: keys.privateKey };
  return {
    cert: cert.toString('pem'),
    key: await privateKeyPem(keys.privateKey),
    issueServer: (subject, { dns, ips }) =>
      issueLeaf(issuer, subject, [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension([
          ...dns.map((value) => ({ type: 'dns' as const, value })),
          ...ips.map((value) => ({ type: 'ip' as const, value })),
        ]),
      ]),
    issueClient: (subject) =>
      issueLeaf(issuer, subject, [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])]),
  };
}

/** A key pair without a certificate, for signing service-account tokens. */
export async function createSigningKeys(): Promise<{ readonly publicKey: string; readonly privateKey: string }> {
  const keys = await generateKeys();
  const publicKey = pem('PUBLIC KEY', await webcrypto.subtle.exportKey('spki', keys.publicKey));
  return { publicKey, privateKey: await privateKeyPem(keys.privateKey) };
}

interface Issuer {
  readonly cert: X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

type LeafExtension = ExtendedKeyUsageExtension | SubjectAlternativeNameExtension;

async function issueLeaf(issuer: Issuer, subject: Subject, extensions: readonly LeafExtension[]): Promise<PemPair> {
  const keys = await generateKeys();
  const cert = await X509CertificateGenerator.create({
    subject: nameOf(subject),
    issuer: issuer.cert.subject,
    publicKey: keys.publicKey,
    signingKey: issuer.key,
    ...validity(),
    signingAlgorithm,
    extensions: [new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true), ...extensions],
  });
  return { cert: cert.toString('pem'), key: await privateKeyPem(keys.privateKey) };
}

function nameOf({ commonName, organizations = [] }: Subject) {
  // The structured form, because user names hold characters that a distinguished name's text form would need escaped.
  return [...organizations.map((organization) => ({ O: [organization] })), { CN: [commonName] }];
}

function validity() {
  const hourMs = 3_600_000;
  return { notBefore: new Date(Date.now() - hourMs), notAfter: new Date(Date.now() + 24 * hourMs) };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', key));
}

function pem(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
