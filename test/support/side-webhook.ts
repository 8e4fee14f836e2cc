// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A validating webhook of the test's own, asked by the API server in parallel with stepup's: while it holds its answer,
// stepup has already answered and reserved. It also counts how often one request is really asked about.

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AdminClient, KubeObject } from './control-plane/admin-client.ts';
import { createAuthority } from './control-plane/certificates.ts';
import { eventually } from './eventually.ts';

/** One question of the API server, as it came. */
export interface SideReview {
  readonly uid: string;
  readonly operation: string;
  readonly resource: { readonly group: string; readonly version: string; readonly resource: string };
  readonly subResource?: string;
  readonly namespace?: string;
  /** Empty for items of a collection: see `targetOf`. */
  readonly name?: string;
  readonly userInfo: { readonly username: string };
  readonly dryRun?: boolean;
  readonly object: KubeObject | null;
  readonly oldObject: KubeObject | null;
  readonly options: object | null;
}

export type Matches = (review: SideReview) => boolean;

/** Reviews that arrive while it stands get no answer until it is released. */
interface Hold {
  /** Resolves with the reviews it has held, once there are so many. */
  arrived(count?: number): Promise<readonly SideReview[]>;
  /** Answers what is held; later reviews are answered at once. */
  release(): void;
}

export interface SideWebhook {
  /** What it was asked, in order; also what it holds. */
  reviews(matches?: Matches): readonly SideReview[];
  hold(matches: Matches): Hold;
  /** Refuses with this message from now on, until the returned function is called. */
  deny(matches: Matches, message: string): () => void;
  /** Unregisters and ends; what is still held is let go. */
  close(): Promise<void>;
}

export interface SideWebhookOptions {
  /** Rules of a ValidatingWebhookConfiguration. */
  readonly rules: readonly object[];
  readonly namespaceSelector?: object;
  /** After so long the API server takes a held answer for a failure. Default 30, the most it allows. */
  readonly timeoutSeconds?: number;
  /** Default Fail. */
  readonly failurePolicy?: 'Fail' | 'Ignore';
  /** Clients of the other API servers, which have to learn of it too. */
  readonly others?: readonly AdminClient[];
}

interface HeldBy {
  readonly matches: Matches;
  readonly held: { readonly review: SideReview; readonly answer: () => void }[];
}

/** Starts it, registers it under this name and returns once the API server really asks it. */
export async function startSideWebhook(
  admin: AdminClient,
  name: string,
  options: SideWebhookOptions,
): Promise<SideWebhook> {
  const authority = await createAuthority(`${name}-ca`);
  const server = await authority.issueServer({ commonName: name }, { dns: [], ips: ['127.0.0.1'] });
  const seen: SideReview[] = [];
  const holds = new Set<HeldBy>();
  const denials = new Set<{ readonly matches: Matches; readonly message: string }>();
  let probes = 0;

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const review = await reviewIn(request);
    const answer = () => {
      const denial = [...denials].find(({ matches }) => matches(review));
      const verdict =
        denial === undefined ? { allowed: true } : { allowed: false, status: { code: 403, message: denial.message } };
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          apiVersion: 'admission.k8s.io/v1',
          kind: 'AdmissionReview',
          response: { uid: review.uid, ...verdict },
        }),
      );
    };
    if (request.url?.startsWith(probePath)) {
      probes += 1;
      return answer();
    }
    seen.push(review);
    const holding = [...holds].find(({ matches }) => matches(review));
    if (holding === undefined) answer();
    else holding.held.push({ review, answer });
  };

  const listener = createServer(
    { cert: server.cert, key: server.key, keepAliveTimeout: 120_000 },
    (request, response) => {
      // An API server that gives up on a held answer resets the stream.
      response.on('error', () => {});
      serve(request, response).catch(() => response.destroy());
    },
  );
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('listen on a port: there is none');

  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
  const caBundle = Buffer.from(authority.cert).toString('base64');
  await admin.post(path, configuration(name, `https://127.0.0.1:${address.port}`, caBundle, options));
  for (const client of [admin, ...(options.others ?? [])]) {
    const before = probes;
    await eventually(`the API server to ask ${name}`, async () => {
      await client.post('/api/v1/namespaces/default/configmaps?dryRun=All', probe);
      return probes > before;
    });
  }

  const release = (hold: HeldBy) => {
    holds.delete(hold);
    for (const { answer } of hold.held.splice(0)) answer();
  };
  return {
    reviews: (matches = () => true) => seen.filter(matches),
    hold: (matches) => {
      const hold: HeldBy = { matches, held: [] };
      holds.add(hold);
      return {
        arrived: (count = 1) =>
          eventually(`${name} to hold ${count} reviews`, () =>
            hold.held.length < count ? undefined : hold.held.map(({ review }) => review),
          ),
        release: () => release(hold),
      };
    },
    deny: (matches, message) => {
      const denial = { matches, message };
      denials.add(denial);
      return () => denials.delete(denial);
    },
    close: async () => {
      await admin.send('DELETE', `${path}/${name}`).catch(() => undefined);
      for (const hold of holds) release(hold);
      listener.close();
      listener.closeAllConnections();
    },
  };
}

/** The name of the object that a review is about, also where only the object says it. */
export function targetOf({ name, object, oldObject }: SideReview): string {
  return name || oldObject?.metadata.name || object?.metadata.name || '';
}

/** Reviews about the object of this name, whatever is done to it; an operation narrows. */
export function matchesObject(name: string, operation?: string): Matches {
  return (review) => targetOf(review) === name && (operation === undefined || review.operation === operation);
}

const probePath = '/probe';
const probeLabel = 'side-webhook-probe';
const probe = { metadata: { name: probeLabel, labels: { [probeLabel]: 'true' } } };

function configuration(name: string, url: string, caBundle: string, options: SideWebhookOptions): object {
  const entry = (prefix: string, path: string, spec: object) => ({
    name: `${prefix}.${name}.test`,
    clientConfig: { url: `${url}${path}`, caBundle },
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    ...spec,
  });
  const { rules, namespaceSelector = {}, timeoutSeconds = 30, failurePolicy = 'Fail' } = options;
  const configMaps = { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] };
  return {
    metadata: { name },
    webhooks: [
      entry('asked', '/asked', { rules, namespaceSelector, timeoutSeconds, failurePolicy }),
      // All entries come into force together, so the one that nobody else meets tells when.
      entry('probe', probePath, {
        rules: [configMaps],
        objectSelector: { matchLabels: { [probeLabel]: 'true' } },
        failurePolicy: 'Fail',
      }),
    ],
  };
}

async function reviewIn(request: IncomingMessage): Promise<SideReview> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  // The API server is the only one that asks: what it sends is what the type says.
  const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { readonly request: SideReview };
  return body.request;
}
