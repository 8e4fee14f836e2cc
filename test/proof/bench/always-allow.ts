// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The baseline in Node: reads a review and allows it. GET gives back the last body, which is how reviews are recorded.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [port = '', cert = '', key = ''] = process.argv.slice(2);
let last = Buffer.alloc(0);

const options = { cert: readFileSync(cert), key: readFileSync(key), keepAliveTimeout: 120_000 };
const server = createServer(options, (request, response) => {
  if (request.method === 'GET') {
    response.end(last);
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('error', () => undefined);
  request.on('end', () => {
    last = Buffer.concat(chunks);
    const { uid } = (JSON.parse(last.toString('utf8')) as { request: { uid: string } }).request;
    const body = JSON.stringify({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid, allowed: true },
    });
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  });
});
server.listen(Number(port), '127.0.0.1');
