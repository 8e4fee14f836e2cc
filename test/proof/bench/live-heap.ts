// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a Node process still needs once its garbage is collected, asked through its own inspector: resident memory alone
// cannot tell a leak from garbage that V8 has had no reason to collect yet.
import { eventually } from '../../support/eventually.ts';

/** Where a Node process listens once it has got SIGUSR1. */
const inspector = 'http://127.0.0.1:9229/json/list';

/** MiB of JavaScript heap in use after a full collection. Leaves the inspector open. Throws when another process answers there. */
export async function liveHeapMiB(pid: number): Promise<number> {
  process.kill(pid, 'SIGUSR1');
  const url = await eventually('the inspector to listen', async () => {
    const [target] = (await (await fetch(inspector)).json()) as { webSocketDebuggerUrl?: string }[];
    return target?.webSocketDebuggerUrl;
  });
  const session = await openSession(url);
  try {
    const owner = await session.evaluate('process.pid');
    if (owner !== pid) throw new Error(`inspect process ${pid}: process ${owner} listens in its place`);
    await session.call('HeapProfiler.collectGarbage');
    return (await session.evaluate('process.memoryUsage().heapUsed')) / 1024 / 1024;
  } finally {
    session.close();
  }
}

interface Session {
  call(method: string, params?: object): Promise<unknown>;
  /** The number that an expression yields. */
  evaluate(expression: string): Promise<number>;
  close(): void;
}

/** The Chrome DevTools protocol: JSON with an id each over a WebSocket. */
async function openSession(url: string): Promise<Session> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  const opened = Promise.withResolvers<void>();
  const fail = () => {
    const error = new Error('the inspector has closed the connection');
    opened.reject(error);
    for (const { reject } of waiting.values()) reject(error);
  };
  socket.addEventListener('open', () => opened.resolve());
  socket.addEventListener('close', fail);
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: object };
    const call = waiting.get(id ?? 0);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(`the inspector says ${JSON.stringify(error)}`));
  });
  await opened.promise;
  const call = (method: string, params: object = {}) => {
    const id = waiting.size + 1;
    const answer = Promise.withResolvers<unknown>();
    waiting.set(id, answer);
    socket.send(JSON.stringify({ id, method, params }));
    return answer.promise;
  };
  return {
    call,
    evaluate: async (expression) => {
      const { result } = (await call('Runtime.evaluate', { expression })) as { result: { value?: unknown } };
      if (typeof result.value !== 'number') throw new Error(`evaluate ${expression}: it is no number`);
      return result.value;
    },
    close: () => socket.close(),
  };
}
