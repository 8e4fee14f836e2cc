// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The load generator for machines without wrk: keep-alive connections, one request at a time on each.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { percentile } from './statistics.ts';

const [url = '', connections = '1', seconds = '1'] = process.argv.slice(2);
const body = readFileSync(process.env.BENCH_BODY ?? '');
const token = process.env.BENCH_TOKEN;
// Loopback, and certificates of an authority that is as old as the run.
const agent = new Agent({ keepAlive: true, maxSockets: Number(connections), rejectUnauthorized: false });
const headers = {
  'content-type': 'application/json',
  'content-length': body.length,
  ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
};
const latenciesUs: number[] = [];
const errors = { socket: 0, status: 0 };
const beganMs = performance.now();
const endsMs = beganMs + Number(seconds) * 1000;

await Promise.all(Array.from({ length: Number(connections) }, work));
const result = {
  requests: latenciesUs.length,
  durationUs: Math.round((performance.now() - beganMs) * 1000),
  p50Us: Math.round(percentile(latenciesUs, 50)),
  p99Us: Math.round(percentile(latenciesUs, 99)),
  socketErrors: errors.socket,
  statusErrors: errors.status,
};
process.stdout.write(`bench ${JSON.stringify(result)}\n`);
agent.destroy();

async function work(): Promise<void> {
  while (performance.now() < endsMs) {
    const startedMs = performance.now();
    try {
      if ((await post()) >= 400) errors.status += 1;
      latenciesUs.push((performance.now() - startedMs) * 1000);
    } catch {
      errors.socket += 1;
    }
  }
}

function post(): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
