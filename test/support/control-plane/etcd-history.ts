// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads etcd's own history, past every API server: each revision of each key, in order and without a gap.

import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

export interface EtcdAccess {
  readonly url: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** One change of one key, as etcd has it. */
export interface Revision {
  readonly key: string;
  /** The revision of the whole store that made it. */
  readonly at: number;
  readonly kind: 'Written' | 'Deleted';
  /** The key was not there before. */
  readonly isCreation: boolean;
  /** As stored: JSON only where the API server was told to store it. Empty when deleted. */
  readonly value: string;
}

export interface EtcdHistory {
  /** Resolves once everything that was persisted before the call has been told. */
  caughtUp(): Promise<number>;
  close(): void;
}

/** Under which the API servers store; the mark is among the keys that are watched, and none of theirs. */
const storage = '/registry/';
const mark = '/registry~mark';
const end = '/registrz';
const retryMs = 100;

/** Tells every revision from the first one on. When the history was compacted, it says so instead of leaving some out. */
export async function followHistory(access: EtcdAccess, tell: (revision: Revision) => void): Promise<EtcdHistory> {
  const agent = new Agent({ keepAlive: true, ca: access.ca, cert: access.cert, key: access.key });
  const stopping = new AbortController();
  const waiting = new Set<{ readonly at: number; readonly resolve: (at: number) => void }>();
  let seen = 0;
  let broken: Error | undefined;
  const progress = Promise.withResolvers<void>();
  const fail = (failure: Error) => {
    broken = failure;
    progress.reject(failure);
  };
  progress.promise.catch(() => {}); // told to whoever waits, if anybody does

  const take = (line: WatchLine) => {
    if (line.error) throw new Error(`watch etcd: ${JSON.stringify(line.error)}`);
    if (line.result?.compact_revision !== undefined || line.result?.canceled)
      throw new Compacted(`watch etcd: ${line.result.cancel_reason ?? 'its history was compacted'}`);
    for (const { type, kv } of line.result?.events ?? []) {
      const at = Number(kv.mod_revision);
      const key = decoded(kv.key);
      if (key.startsWith(storage)) {
        const isDeleted = type === 'DELETE';
        tell({
          key,
          at,
          kind: isDeleted ? 'Deleted' : 'Written',
          isCreation: !isDeleted && kv.create_revision === kv.mod_revision,
          value: decoded(kv.value ?? ''),
        });
      }
      seen = Math.max(seen, at);
    }
    for (const waiter of waiting) {
      if (waiter.at > seen) continue;
      waiting.delete(waiter);
      waiter.resolve(seen);
    }
  };
  const follow = async () => {
    while (!stopping.signal.aborted) {
      try {
        const range = { key: encoded(storage), range_end: encoded(end), start_revision: String(seen + 1) };
        const response = await post(access, agent, '/v3/watch', { create_request: range }, stopping.signal);
        // A transaction's changes share one revision, and etcd sends it whole (fragment is off).
        for await (const line of linesOf(response)) take(JSON.parse(line) as WatchLine);
      } catch (failure) {
        if (failure instanceof Compacted) return fail(failure);
        if (!stopping.signal.aborted) await sleep(retryMs); // etcd is away; it comes back
      }
    }
  };
  void follow();

  return {
    caughtUp: async () => {
      if (broken !== undefined) throw broken;
      const at = await putMark(access, agent, stopping.signal);
      const told = new Promise<number>((resolve) => {
        if (at <= seen) resolve(seen);
        else waiting.add({ at, resolve });
      });
      return Promise.race([told, progress.promise.then(() => 0)]);
    },
    close: () => {
      stopping.abort();
      agent.destroy();
    },
  };
}

class Compacted extends Error {}

/** What the JSON gateway sends, one on each line; numbers of 64 bits are texts. */
interface WatchLine {
  readonly result?: {
    readonly compact_revision?: string;
    readonly canceled?: boolean;
    readonly cancel_reason?: string;
    readonly events?: readonly { readonly type?: 'DELETE'; readonly kv: KeyValue }[];
  };
  readonly error?: unknown;
}

interface KeyValue {
  readonly key: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision: string;
}

/** Writes the mark, however often it takes: its revision is later than all that is persisted now. */
async function putMark(access: EtcdAccess, agent: Agent, signal: AbortSignal): Promise<number> {
  for (;;) {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(10_000)]);
      const body = { key: encoded(mark), value: encoded('-') };
      const response = await post(access, agent, '/v3/kv/put', body, limit);
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      const { header } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { header: { revision: string } };
      return Number(header.revision);
    } catch (failure) {
      if (signal.aborted) throw failure;
      await sleep(retryMs);
    }
  }
}

function post(
  { url }: EtcdAccess,
  agent: Agent,
  path: string,
  body: object,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const payload = JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
    const sent = request(new URL(path, url), { method: 'POST', agent, headers, signal }, (response) => {
      if (response.statusCode === 200) return resolve(response);
      response.resume();
      reject(new Error(`POST ${path}: ${response.statusCode}`));
    });
    sent.on('error', reject);
    sent.end(payload);
  });
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  const rest: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      rest.push(chunk.subarray(from, at));
      yield Buffer.concat(rest.splice(0)).toString('utf8');
      from = at + 1;
    }
    if (from < chunk.length) rest.push(chunk.subarray(from));
  }
}

function encoded(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

function decoded(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}
