// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads the settings of policy engines, one from each key of a ConfigMap. stepup calls no others.
import { X509Certificate } from 'node:crypto';
import { load } from 'js-yaml';
import { type EngineFormat, engineFormats } from '../../domain/engines/engine-review.ts';

export interface Engine {
  readonly name: string;
  readonly url: URL;
  readonly format: EngineFormat;
  /** PEM of the authorities that its certificate may come from; absent: those that Node trusts. */
  readonly caBundle?: string;
  readonly timeoutSeconds: number;
}

export interface ReadEngines {
  readonly engines: ReadonlyMap<string, Engine>;
  readonly problems: readonly { readonly engine: string; readonly message: string }[];
}

const suffix = '.yaml';
const members = ['url', 'format', 'caBundle', 'timeoutSeconds'];
const defaultSeconds = 3;
const mostSeconds = 30;

/** Reads all engines there are; one that cannot be used is a problem of its own, and the others stay. */
export function readEngines(data: Readonly<Record<string, string>>): ReadEngines {
  const engines = new Map<string, Engine>();
  const problems: { engine: string; message: string }[] = [];
  for (const [file, text] of Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = file.endsWith(suffix) ? file.slice(0, -suffix.length) : file;
    try {
      engines.set(name, readEngine(name, load(text)));
    } catch (error) {
      const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      problems.push({ engine: name, message });
    }
  }
  return { engines, problems };
}

function readEngine(name: string, value: unknown): Engine {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) throw new Error('its name is not a DNS label');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('is not an object');
  const unknown = Object.keys(value).find((key) => !members.includes(key));
  if (unknown !== undefined) throw new Error(`${unknown}: is not a known field`);
  const { url, format, caBundle, timeoutSeconds = defaultSeconds } = value as Readonly<Record<string, unknown>>;
  const known = engineFormats.find((one) => one === format);
  if (known === undefined) throw new Error(`format: must be one of ${engineFormats.join(', ')}`);
  if (typeof timeoutSeconds !== 'number' || !(timeoutSeconds >= 1 && timeoutSeconds <= mostSeconds)) {
    throw new Error(`timeoutSeconds: must be a number from 1 to ${mostSeconds}`);
  }
  return {
    name,
    url: readAddress(url),
    format: known,
    timeoutSeconds,
    ...(caBundle === undefined || caBundle === '' ? {} : { caBundle: readBundle(caBundle) }),
  };
}

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

function readAddress(text: unknown): URL {
  if (typeof text !== 'string' || !URL.canParse(text)) throw new Error('url: is not a URL');
  const url = new URL(text);
  // Over plain HTTP anybody on the way could approve.
  const isTold = url.protocol === 'https:' || (url.protocol === 'http:' && loopback.test(url.hostname));
  if (!isTold) throw new Error('url: must be https; plain http is for loopback addresses only');
  if (url.username !== '' || url.password !== '') throw new Error('url: must not contain credentials');
  if (url.hash !== '') throw new Error('url: must not have a fragment');
  return url;
}

function readBundle(text: unknown): string {
  const certificates =
    typeof text === 'string' ? text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) : null;
  if (typeof text !== 'string' || certificates === null) throw new Error('caBundle: must be certificates in PEM');
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch {
    throw new Error('caBundle: contains a certificate that cannot be read');
  }
  return text;
}
