// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A real Open Policy Agent over TLS on loopback, with the rules of examples/engine-opa.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBinary } from '../../support/control-plane/binaries.ts';
import { createAuthority } from '../../support/control-plane/certificates.ts';
import { type Component, startComponent } from '../../support/control-plane/component.ts';
import { freePorts } from '../../support/control-plane/free-ports.ts';

const rules = fileURLToPath(new URL('../../../examples/engine-opa/decision.rego', import.meta.url));

export interface Opa {
  readonly url: string;
  /** PEM of the authority that its certificate is from. */
  readonly caBundle: string;
  readonly component: Component;
  stop(): Promise<void>;
}

export async function startOpa(): Promise<Opa> {
  const binary = await ensureBinary('opa');
  const dir = mkdtempSync(join(tmpdir(), 'stepup-opa-'));
  const authority = await createAuthority('engine-ca');
  const { cert, key } = await authority.issueServer({ commonName: 'opa' }, { dns: ['localhost'], ips: ['127.0.0.1'] });
  const [certFile, keyFile] = [join(dir, 'tls.crt'), join(dir, 'tls.key')];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  const [port] = await freePorts(1);
  const component = await startComponent({
    name: 'opa',
    binary,
    args: [
      ...['run', '--server', '--addr', `127.0.0.1:${port}`, '--disable-telemetry', '--log-level', 'error'],
      ...['--tls-cert-file', certFile, '--tls-private-key-file', keyFile, rules],
    ],
    log: join(dir, 'opa.log'),
    isReady: () => isHealthy(`https://127.0.0.1:${port}/health`, authority.cert),
    readyTimeoutMs: 20_000,
  });
  return {
    url: `https://127.0.0.1:${port}/v1/data/stepup/decision`,
    caBundle: authority.cert,
    component,
    stop: async () => {
      await component.stop();
      rmSync(dir, { recursive: true });
    },
  };
}

function isHealthy(url: string, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { ca, agent: false, timeout: 1_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on('error', () => resolve(false));
    request.on('timeout', () => request.destroy());
  });
}
