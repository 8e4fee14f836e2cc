// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Every option of stepup serve in one table: flag, environment variable, default, help and how it is read.
import { Option } from 'commander';

export interface ServeOptions {
  readonly namespace: string;
  readonly podName: string;
  readonly bindAddress: string;
  readonly webhookPort: number;
  readonly statusPort: number;
  readonly serviceAccountDir: string;
  readonly kubeconfig: string | undefined;
  readonly serviceName: string;
  readonly servicePort: number;
  readonly tlsSecret: string;
  readonly certificateIssuer: 'self' | 'external';
  readonly certificateAuthoritySeconds: number;
  readonly certificateLeafSeconds: number;
  readonly certificateSpreadSeconds: number;
  readonly keysSecret: string;
  readonly lease: string;
  readonly packsConfigmap: string;
  readonly enginesConfigmap: string;
  readonly retentionSeconds: number;
  readonly settleResources: readonly string[];
  readonly trustedMutators: readonly string[];
  readonly guard: 'on' | 'off';
  readonly guardExempt: readonly string[];
  readonly watchdogSeconds: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly cacheDelayMs: number;
  readonly clockOffsetMs: number;
}

/** How a text is read: undefined where it is not what is expected. */
interface OptionReader {
  readonly expects: string;
  readonly read: (text: string) => unknown;
}

const wholeNumber: OptionReader = {
  expects: 'a whole number of at most nine digits',
  read: (text) => (/^\d{1,9}$/.test(text) ? Number(text) : undefined),
};
const integer: OptionReader = {
  expects: 'a whole number of at most nine digits, which may be negative',
  read: (text) => (/^-?\d{1,9}$/.test(text) ? Number(text) : undefined),
};
const port: OptionReader = {
  expects: 'a port, at most 65535',
  read: (text) => (/^\d{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined),
};
const list: OptionReader = {
  expects: 'a list, separated by commas',
  read: (text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
};

interface Row {
  readonly flag: string;
  readonly env: string;
  readonly help: string;
  readonly default?: string | number;
  readonly parse?: OptionReader;
  readonly choices?: readonly string[];
}

const rows: Readonly<Record<keyof ServeOptions, Row>> = {
  namespace: {
    flag: '--namespace <name>',
    env: 'POD_NAMESPACE',
    default: 'stepup-system',
    help: 'namespace of stepup',
  },
  podName: {
    flag: '--pod-name <name>',
    env: 'POD_NAME',
    default: 'stepup',
    help: 'name of this pod: its identity in the Lease',
  },
  bindAddress: { flag: '--bind-address <ip>', env: 'POD_IP', default: '0.0.0.0', help: 'address to listen on' },
  webhookPort: {
    flag: '--webhook-port <port>',
    env: 'STEPUP_WEBHOOK_PORT',
    default: 8443,
    parse: port,
    help: 'port of the webhook',
  },
  statusPort: {
    flag: '--status-port <port>',
    env: 'STEPUP_STATUS_PORT',
    default: 8080,
    parse: port,
    help: 'port of probes and metrics',
  },
  serviceAccountDir: {
    flag: '--service-account-dir <dir>',
    env: 'STEPUP_SERVICE_ACCOUNT_DIR',
    default: '/var/run/secrets/kubernetes.io/serviceaccount',
    help: 'directory with token and ca.crt',
  },
  kubeconfig: {
    flag: '--kubeconfig <file>',
    env: 'STEPUP_KUBECONFIG',
    help: 'use this kubeconfig instead of the service account',
  },
  serviceName: {
    flag: '--service-name <name>',
    env: 'STEPUP_SERVICE_NAME',
    default: 'stepup',
    help: 'Service that the API server calls',
  },
  servicePort: {
    flag: '--service-port <port>',
    env: 'STEPUP_SERVICE_PORT',
    default: 443,
    parse: port,
    help: 'port of that Service',
  },
  tlsSecret: {
    flag: '--tls-secret <name>',
    env: 'STEPUP_TLS_SECRET',
    default: 'stepup-tls',
    help: 'Secret with the certificates',
  },
  certificateIssuer: {
    flag: '--certificate-issuer <self|external>',
    env: 'STEPUP_CERTIFICATE_ISSUER',
    default: 'self',
    choices: ['self', 'external'],
    help: 'issuer of the certificates in that Secret: stepup itself, or another one such as cert-manager',
  },
  certificateAuthoritySeconds: {
    flag: '--certificate-authority-seconds <n>',
    env: 'STEPUP_CERTIFICATE_AUTHORITY_SECONDS',
    default: 365 * 24 * 3600,
    parse: wholeNumber,
    help: "lifetime of stepup's certificate authority",
  },
  certificateLeafSeconds: {
    flag: '--certificate-leaf-seconds <n>',
    env: 'STEPUP_CERTIFICATE_LEAF_SECONDS',
    default: 90 * 24 * 3600,
    parse: wholeNumber,
    help: 'lifetime of a serving certificate that stepup issues',
  },
  certificateSpreadSeconds: {
    flag: '--certificate-spread-seconds <n>',
    env: 'STEPUP_CERTIFICATE_SPREAD_SECONDS',
    default: 120,
    parse: wholeNumber,
    help: 'time for a changed bundle to reach every API server, and for a new certificate to reach every replica',
  },
  keysSecret: {
    flag: '--keys-secret <name>',
    env: 'STEPUP_KEYS_SECRET',
    default: 'stepup-keys',
    help: 'Secret with the keys that seal votes',
  },
  lease: {
    flag: '--lease <name>',
    env: 'STEPUP_LEASE',
    default: 'stepup',
    help: 'Lease for the leader election',
  },
  packsConfigmap: {
    flag: '--packs-configmap <name>',
    env: 'STEPUP_PACKS_CONFIGMAP',
    default: 'stepup-packs',
    help: 'ConfigMap with ready-made policies',
  },
  enginesConfigmap: {
    flag: '--engines-configmap <name>',
    env: 'STEPUP_ENGINES_CONFIGMAP',
    default: 'stepup-engines',
    help: 'ConfigMap with the policy engines',
  },
  retentionSeconds: {
    flag: '--retention-seconds <n>',
    env: 'STEPUP_RETENTION_SECONDS',
    default: 30 * 24 * 3600,
    parse: wholeNumber,
    help: 'how long ended approvals are kept',
  },
  settleResources: {
    flag: '--settle-resources <list>',
    env: 'STEPUP_SETTLE_RESOURCES',
    default: '',
    parse: list,
    help: 'kinds that the operator can read to see whether a reserved change happened, as resource.group',
  },
  trustedMutators: {
    flag: '--trusted-mutators <list>',
    env: 'STEPUP_TRUSTED_MUTATORS',
    default: '',
    parse: list,
    help: 'mutating webhook configurations and policies, by name, that are trusted not to change approvals and votes',
  },
  guard: {
    flag: '--guard <on|off>',
    env: 'STEPUP_GUARD',
    default: 'on',
    choices: ['on', 'off'],
    help: 'keep service accounts from changing what stepup depends on',
  },
  guardExempt: {
    flag: '--guard-exempt <list>',
    env: 'STEPUP_GUARD_EXEMPT',
    default: '',
    parse: list,
    help: 'usernames that the guard does not restrict',
  },
  watchdogSeconds: {
    flag: '--watchdog-seconds <n>',
    env: 'STEPUP_WATCHDOG_SECONDS',
    default: 60,
    parse: wholeNumber,
    help: 'how often the leader checks that the API server calls the webhooks',
  },
  logLevel: {
    flag: '--log-level <level>',
    env: 'STEPUP_LOG_LEVEL',
    default: 'info',
    choices: ['debug', 'info', 'warn', 'error'],
    help: 'lowest level that is logged',
  },
  cacheDelayMs: {
    flag: '--cache-delay-ms <n>',
    env: 'STEPUP_CACHE_DELAY_MS',
    default: 0,
    parse: wholeNumber,
    help: 'delay every watch event; for tests of stale caches only',
  },
  clockOffsetMs: {
    flag: '--clock-offset-ms <n>',
    env: 'STEPUP_CLOCK_OFFSET_MS',
    default: 0,
    parse: integer,
    help: 'shift the wall clock; for tests of skewed clocks only',
  },
};

/** The table as commander options; a bad value stops the start and names the flag. */
export function serveOptions(): readonly Option[] {
  return Object.values(rows).map((row) => {
    const option = new Option(row.flag, row.help).env(row.env);
    if (row.parse !== undefined) option.argParser(readAs(row.parse, row.flag));
    if (row.default !== undefined) option.default(row.parse === list ? [] : row.default);
    return row.choices === undefined ? option : option.choices(row.choices);
  });
}

/** For docs and tests: what each option is called and does. */
export function optionRows(): readonly Row[] {
  return Object.values(rows);
}

/**
 * The lives in milliseconds. A leaf is renewed in its last third, and both waits of a rotation must end within that; an
 * authority must not end before a leaf of its does. Throws a BadOptionError otherwise.
 */
export function certificateLives(options: ServeOptions) {
  const { certificateAuthoritySeconds: authority, certificateLeafSeconds: leaf } = options;
  const { certificateSpreadSeconds: spread } = options;
  if (leaf < 6 * spread || leaf === 0) {
    throw new BadOptionError(
      `--certificate-leaf-seconds: must be at least six times the spread of ${spread} s, not ${leaf}`,
    );
  }
  if (authority < leaf) {
    throw new BadOptionError(
      `--certificate-authority-seconds: must be at least the ${leaf} s of --certificate-leaf-seconds`,
    );
  }
  return { authorityMs: authority * 1000, leafMs: leaf * 1000, spreadMs: spread * 1000 };
}

export class BadOptionError extends Error {}

function readAs({ read, expects }: OptionReader, flag: string): (text: string) => unknown {
  return (text) => {
    const value = read(text);
    if (value === undefined) {
      throw new BadOptionError(`${flag.split(' ')[0]}: must be ${expects}, not ${JSON.stringify(text)}`);
    }
    return value;
  };
}
