// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The composition root of stepup uninstall, which the chart runs before it deletes anything else.
import type { ServeOptions } from '../config/options.ts';
import { systemClock } from '../kube/time/clock.ts';
import type { Log } from '../observe/log.ts';
import { uninstall } from '../operator/removal.ts';
import { connect } from './connect.ts';

export async function runUninstall(options: ServeOptions, log: Log, signal: AbortSignal): Promise<void> {
  const rest = await connect(options);
  const { namespace } = options;
  const lease = { namespace, name: options.lease };
  const service = { namespace, name: options.serviceName };
  const keptSecrets = [options.tlsSecret, options.keysSecret].map((name) => ({ namespace, name }));
  try {
    await uninstall({ rest, lease, service, keptSecrets, log, clock: systemClock }, signal);
  } finally {
    rest.close();
  }
}
