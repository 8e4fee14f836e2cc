// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The HTTPS server that the API server calls: parses reviews and hands them to the gate, the stamper and the pinner.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import express from 'express';
import { type Answer, parseReview, reviewAnswer } from '../../api/admission-review.ts';
import { rejectionDetails, rejectionMessage } from '../../domain/decision/message.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import { parseStrictJson } from '../../lib/parse-strict-json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { UndecidedReason, WebhookMetrics } from '../../observe/webhook-metrics.ts';
import type { KeyPair } from '../../replica/key-pair.ts';
import { readRequestBody } from './request-body.ts';
import { answerProbe } from './watchdog-answer.ts';

export interface ServerDependencies {
  readonly gate: { review(policy: string, request: AdmissionRequest, entry?: 'Enforce' | 'Observe'): Promise<Answer> };
  readonly stamper: { review(request: AdmissionRequest): Promise<Answer> };
  readonly pinner: { review(request: AdmissionRequest): Promise<Answer> };
  readonly metrics: Pick<WebhookMetrics, 'review' | 'undecided'>;
  readonly log: Log;
  /** Reviews decided at once; more are denied without being read. Default 2,000. */
  readonly mostReviews?: number;
  /** How long close goes on serving connections that are in use. Default 3,000. */
  readonly drainMs?: number;
}

/** A review carries object and old object of up to 3 MiB each (measured). */
const mostBodyBytes = 8 * 1024 * 1024;
const drainMs = 3_000;
const closeMs = 10_000;
const sweepMs = 50;

/** What is served: POST of a review to each path. */
interface Route {
  readonly name: 'gate' | 'observe' | 'stamp' | 'pin' | 'watchdog';
  readonly path: string;
  /** A review that cannot be read is denied, in an answer that a client is shown. Else it is an error of the call. */
  readonly mayDeny: boolean;
  /** policy: the name in the path, empty where it has none. */
  decide(request: AdmissionRequest, policy: string): Promise<Answer>;
}

function routesOf({ gate, stamper, pinner }: ServerDependencies): readonly Route[] {
  return [
    { name: 'gate', path: '/gate/:policy', mayDeny: true, decide: (request, policy) => gate.review(policy, request) },
    // Policies in mode Observe: what cannot be read or decided is an error, which their entries have the API server ignore.
    {
      name: 'observe',
      path: '/observe/:policy',
      mayDeny: false,
      decide: (request, policy) => gate.review(policy, request, 'Observe'),
    },
    {
      name: 'watchdog',
      path: '/watchdog/:policy',
      mayDeny: false,
      decide: async (request, policy) => answerProbe(policy, request),
    },
    { name: 'stamp', path: '/stamp', mayDeny: true, decide: (request) => stamper.review(request) },
    { name: 'pin', path: '/pin', mayDeny: false, decide: (request) => pinner.review(request) },
  ];
}

export class WebhookServer {
  readonly #dependencies: ServerDependencies;
  readonly #server: Server;
  readonly #certified = Promise.withResolvers<void>();
  /** Reviews whose bodies are held. */
  #held = 0;
  #deciding = 0;
  #isCertified = false;
  #isClosing = false;

  constructor(dependencies: ServerDependencies) {
    this.#dependencies = dependencies;
    const options = {
      minVersion: 'TLSv1.2',
      handshakeTimeout: 10_000,
      // Longer than the API server's 90 s, so that it never writes to a connection that is being closed.
      keepAliveTimeout: 120_000,
      headersTimeout: 10_000,
      requestTimeout: 15_000,
    } as const;
    this.#server = createServer(options, this.#handler());
    this.#server.on('tlsClientError', () => undefined);
  }

  get isListening(): boolean {
    return this.#server.listening;
  }

  /** Serves with this certificate from the next handshake on; throws when key and certificate cannot be used. */
  setCertificate({ cert, key }: KeyPair): void {
    this.#server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' });
    this.#isCertified = true;
    this.#certified.resolve();
  }

  /** Waits for the first certificate; resolves with the port once it listens. */
  async listen({ address, port }: { readonly address: string; readonly port: number }): Promise<number> {
    await this.#certified.promise;
    if (this.#isClosing || !this.#isCertified) throw new Error('the webhook is closed');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(port, address, resolve);
    await promise;
    this.#server.off('error', reject);
    this.#server.on('error', (error) => this.#dependencies.log.error(errorFields(error), 'server failed'));
    return (this.#server.address() as AddressInfo).port;
  }

  /**
   * Resolves when nothing is served any more. The API server goes on sending reviews over the connections it has, and
   * does not repeat one that meets a connection being closed: the request fails. So each connection in use is first told
   * with its next answer that it is the last one; only those that stay idle are then cut. Takes 13 s at most.
   */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#certified.resolve();
    if (!this.#server.listening) return;
    await this.#drained(this.#dependencies.drainMs ?? drainMs);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    const timer = setTimeout(() => this.#server.closeAllConnections(), closeMs);
    // A connection whose answer went out meanwhile is idle, and is not closed by itself.
    const sweep = setInterval(() => this.#server.closeIdleConnections(), sweepMs);
    await promise;
    clearTimeout(timer);
    clearInterval(sweep);
  }

  /** Resolves when no connection is left, or after so long. */
  async #drained(limitMs: number): Promise<void> {
    const connections = promisify(this.#server.getConnections.bind(this.#server));
    const endsAtMs = performance.now() + limitMs;
    while (performance.now() < endsAtMs && (await connections()) > 0) await sleep(sweepMs);
  }

  /** Nearly every request is a review for the gate; Express has the rest, for it costs as much as a small decision. */
  #handler(): (request: IncomingMessage, response: ServerResponse) => void {
    const routes = routesOf(this.#dependencies);
    const app = this.#app(routes);
    const [gate] = routes;
    if (gate === undefined) return app;
    // The API server adds its timeout as a query.
    const plainGate = new RegExp(`^${gate.path.replace(':policy', '([a-z0-9][a-z0-9.-]*)')}(?:\\?|$)`);
    return (request, response) => {
      const policy = request.method === 'POST' ? plainGate.exec(request.url ?? '')?.[1] : undefined;
      if (policy === undefined) {
        app(request, response);
        return;
      }
      // Without an answer nothing is allowed.
      this.#serve(gate, policy, request, response).catch(() => response.destroy());
    };
  }

  #app(routes: readonly Route[]) {
    const app = express();
    app.disable('x-powered-by');
    app.disable('etag');
    app.set('query parser', false);
    app.set('case sensitive routing', true);
    app.set('strict routing', true);
    const paths = routes.map(({ path }) => path);
    for (const route of routes) {
      app.post(route.path, (request, response) => {
        const { policy } = request.params;
        return this.#serve(route, typeof policy === 'string' ? policy : '', request, response);
      });
    }
    app.all(paths, (_request, response) => {
      response.setHeader('Allow', 'POST');
      this.#reject(response, 405, 'only POST is allowed');
    });
    const places = paths.map((path) => path.replace(':policy', '<policy>'));
    const missing = `not found: the paths are ${places.slice(0, -1).join(', ')} and ${places.at(-1)}`;
    app.use((_request: IncomingMessage, response: ServerResponse) => {
      this.#dependencies.metrics.review('other');
      this.#reject(response, 404, missing);
    });
    // Express knows an error handler by its four parameters. It gets paths that cannot be decoded.
    app.use((_error: unknown, _request: IncomingMessage, response: ServerResponse, _next: unknown) => {
      this.#reject(response, 400, 'the request cannot be read');
    });
    return app;
  }

  async #serve(route: Route, policy: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { metrics, log, mostReviews = 2_000 } = this.#dependencies;
    if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
      this.#undecided(response, 415, 'a review must be application/json');
      return;
    }
    metrics.review(route.name);
    // The bodies of more reviews would take a lot of memory.
    if (this.#held >= 2 * mostReviews) {
      this.#undecided(response, 503, 'too many reviews at once', 'Busy');
      return;
    }
    this.#held += 1;
    try {
      const body = await readRequestBody(request, mostBodyBytes);
      if (body.kind === 'Truncated') {
        this.#undecided(response, 400, 'the body is incomplete');
      } else if (body.kind === 'TooLarge') {
        this.#undecided(response, 413, `a review must not be larger than ${mostBodyBytes} bytes`);
      } else {
        await this.#answer(body.bytes, response, route, policy);
      }
    } catch (error) {
      log.error(errorFields(error), 'review failed');
      if (!response.headersSent) this.#undecided(response, 500, 'stepup failed; nothing was admitted', 'Failed');
    } finally {
      this.#held -= 1;
    }
  }

  async #answer(bytes: Buffer, response: ServerResponse, route: Route, policy: string): Promise<void> {
    const json = parseStrictJson(bytes);
    if (!json.ok) {
      this.#undecided(response, 400, `the review cannot be read: ${json.problem}`);
      return;
    }
    const review = parseReview(json.value);
    if (review.ok) {
      const answer = await this.#decideWithin(() => route.decide(review.request, policy), route.mayDeny ? busy : {});
      this.#send(response, 200, reviewAnswer(review.request.uid, answer));
      return;
    }
    const problems = review.problems.slice(0, 10).join('; ');
    if (review.uid === undefined || !route.mayDeny) {
      this.#undecided(response, 400, `the review cannot be read: ${problems}`);
      return;
    }
    this.#dependencies.metrics.undecided('InvalidRequest');
    const message = rejectionMessage('admission review', 'InvalidRequest', problems);
    const details = rejectionDetails(undefined, 'InvalidRequest');
    const refusal = { code: 400, reason: 'InvalidRequest', message, details };
    this.#send(response, 200, reviewAnswer(review.uid, { refusal }));
  }

  async #decideWithin(decide: () => Promise<Answer>, busy: Answer): Promise<Answer> {
    if (this.#deciding >= (this.#dependencies.mostReviews ?? 2_000)) {
      this.#dependencies.metrics.undecided('Busy');
      return busy;
    }
    this.#deciding += 1;
    try {
      return await decide();
    } finally {
      this.#deciding -= 1;
    }
  }

  /** Of what came as a review. */
  #undecided(response: ServerResponse, status: number, message: string, reason: UndecidedReason = 'Unreadable'): void {
    this.#dependencies.metrics.undecided(reason);
    this.#reject(response, status, message);
  }

  /** What is no answer to a review. Node reads the rest of the body and throws it away, or the sender would not see it. */
  #reject(response: ServerResponse, status: number, message: string): void {
    this.#send(response, status, JSON.stringify({ message: `stepup: ${message}` }));
  }

  #send(response: ServerResponse, status: number, body: string): void {
    if (this.#isClosing) response.setHeader('Connection', 'close');
    response.writeHead(status, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(body);
  }
}

const busy: Answer = {
  refusal: {
    code: 403,
    reason: 'NotReady',
    message: rejectionMessage('webhook', 'NotReady', 'Too many reviews at once; send the request again in a moment'),
    details: rejectionDetails(undefined, 'NotReady'),
  },
};
