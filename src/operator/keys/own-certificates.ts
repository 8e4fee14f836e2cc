// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Keeps the webhook's certificates in one Secret, and performs the steps of a rotation in order.
import { createPrivateKey } from 'node:crypto';
import { isAlreadyExists, isConflict, isNotFound } from '../../kube/http/api-error.ts';
import type { KubeObject } from '../../kube/objects/objects.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { WorkQueue } from '../../kube/time/work-queue.ts';
import { enqueueChanges, type Watched } from '../../kube/watch/watched.ts';
import { certificatesIn } from '../../lib/certificate-chain.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import { Publication } from './bundle-publication.ts';
import { nextCertificateStep, type StoredCertificates } from './certificate-step.ts';
import { issueLeaf, makeAuthority } from './issue.ts';

export interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

export interface CertificateKeeperOptions {
  readonly client: Pick<ResourceClient<Secret>, 'create' | 'replace'>;
  readonly secrets: Watched<Secret>;
  readonly secret: { readonly namespace: string; readonly name: string };
  readonly names: readonly string[];
  readonly lives: CertificateLives;
  /** What this replica serves, and who is trusted to have issued it: all that is left where the Secret is gone. */
  readonly inUse: () => Omit<StoredCertificates, 'authorityKey'> | undefined;
  /** True when every webhook configuration of ours carries the bundle. */
  readonly isPublished: (caBundle: string) => boolean;
  /** The bundle changed: configurations must follow. */
  readonly onBundle: () => void;
  readonly log: Log;
  readonly clock: Clock;
}

/** How long certificates live, and how long a change of them is given to reach everybody. */
export interface CertificateLives {
  readonly authorityMs: number;
  readonly leafMs: number;
  readonly spreadMs: number;
}

/** What the operator has of whoever provides the certificates. */
export interface Certificates {
  /** What the API server is to trust, in base64; undefined until there is a certificate to serve. */
  readonly caBundle: string | undefined;
  /** Looks again, because configurations may carry the bundle now. */
  check(): void;
  run(signal: AbortSignal): Promise<void>;
}

const nothing: StoredCertificates = { authorities: '', authorityKey: '', leaf: '', leafKey: '' };
const key = 'certificates';
const againMs = 50;
const soonestMs = 1_000;
const longestMs = 3_600_000;

export class CertificateKeeper implements Certificates {
  readonly #options: CertificateKeeperOptions;
  readonly #queue: WorkQueue;
  readonly #publication: Publication;
  /** What was stored last: where the Secret is deleted, replicas still serve the leaf that was in it. */
  #known: StoredCertificates | undefined;
  #caBundle: string | undefined;

  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
    this.#publication = new Publication(options.isPublished, options.clock);
    this.#queue = new WorkQueue({
      process: () => this.#process(),
      clock: options.clock,
      onError: (_, error) => options.log.warn(errorFields(error), 'keeping the certificates failed'),
    });
  }

  get caBundle(): string | undefined {
    return this.#caBundle;
  }

  check(): void {
    this.#queue.add(key);
  }

  async run(signal: AbortSignal): Promise<void> {
    enqueueChanges(this.#options.secrets, signal, () => this.#queue.add(key));
    this.#queue.add(key);
    await this.#queue.run(signal);
  }

  async #process(): Promise<void> {
    const { clock, names, lives, inUse, log } = this.#options;
    const secret = this.#options.secrets.objects.get(this.#options.secret);
    // A Secret that was deleted is rotated: the authority is made anew, and the known one vouches until it is published.
    const last = this.#known ?? inUse() ?? nothing;
    const stored = secret === undefined ? { ...last, authorityKey: '' } : readSecret(secret);
    const now = clock.now();
    const publishedForMs = this.#publication.forMs(encode(stored.authorities));
    const step = nextCertificateStep({ stored, names, publishedForMs, spreadMs: lives.spreadMs }, now);
    switch (step.kind) {
      case 'Keep':
        this.#publish(stored);
        this.#queue.addAfter(key, Math.min(Math.max(step.until.getTime() - now.getTime(), soonestMs), longestMs));
        return;
      case 'AwaitBundle':
        this.#publish(stored);
        this.#queue.addAfter(key, step.forMs);
        return;
      case 'MakeAuthority': {
        const authority = await makeAuthority(now, lives.authorityMs);
        const made = {
          ...stored,
          authorities: [authority.cert, ...step.keep].map(line).join(''),
          authorityKey: authority.key,
        };
        const leaf = step.keep.length > 0 ? {} : await this.#leafBy(made, now);
        log.info({ secret: this.#options.secret.name }, 'created a certificate authority');
        return this.#store(secret, { ...made, ...leaf });
      }
      case 'IssueLeaf':
        log.info({ secret: this.#options.secret.name }, 'issued a serving certificate');
        return this.#store(secret, { ...stored, ...(await this.#leafBy(stored, now)) });
      case 'DropOldAuthorities':
        return this.#store(secret, { ...stored, authorities: step.keep.map(line).join('') });
    }
  }

  async #leafBy(stored: StoredCertificates, now: Date): Promise<Pick<StoredCertificates, 'leaf' | 'leafKey'>> {
    const { names, lives } = this.#options;
    const key = createPrivateKey(stored.authorityKey);
    // Others may have put an authority in front of the one that signs.
    const signing = certificatesIn(stored.authorities).find((one) => one.checkPrivateKey(key));
    const authority = { cert: String(signing ?? stored.authorities), key: stored.authorityKey };
    const pair = await issueLeaf(authority, names, now, lives.leafMs);
    return { leaf: pair.cert, leafKey: pair.key };
  }

  /** What is stored is what counts: after a write the Secret's own event comes back here. */
  #publish(stored: StoredCertificates): void {
    this.#known = stored;
    const caBundle = encode(stored.authorities);
    if (this.#caBundle === caBundle) return;
    this.#caBundle = caBundle;
    this.#options.onBundle();
  }

  async #store(secret: Secret | undefined, certificates: StoredCertificates): Promise<void> {
    const { client, secret: id } = this.#options;
    const data = writeData(certificates);
    try {
      if (secret === undefined) await client.create({ metadata: id, type: 'kubernetes.io/tls', data });
      else await client.replace({ ...secret, data: { ...secret.data, ...data } });
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error) && !isNotFound(error)) throw error;
      this.#queue.addAfter(key, againMs);
    }
  }
}

function readSecret({ data = {} }: Secret): StoredCertificates {
  return {
    authorities: decode(data['ca.crt']),
    authorityKey: decode(data['ca.key']),
    leaf: decode(data['tls.crt']),
    leafKey: decode(data['tls.key']),
  };
}

function writeData({ authorities, authorityKey, leaf, leafKey }: StoredCertificates): Record<string, string> {
  return {
    'ca.crt': encode(authorities),
    'ca.key': encode(authorityKey),
    'tls.crt': encode(leaf),
    'tls.key': encode(leafKey),
  };
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(base64 = ''): string {
  return Buffer.from(base64, 'base64').toString();
}

function line(pem: string): string {
  return `${pem.trim()}\n`;
}
