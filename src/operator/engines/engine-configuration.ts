// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The engines that the ConfigMap lists now, and events about those that cannot be used.
import type { EventRecorder } from '../../kube/objects/events.ts';
import type { ConfigMap } from '../../kube/objects/objects.ts';
import type { Watched } from '../../kube/watch/watched.ts';
import { defined } from '../../lib/json.ts';
import type { Log } from '../../observe/log.ts';
import { type Engine, readEngines } from './engine-settings.ts';

export interface EngineConfigurationOptions {
  readonly configMaps: Watched<ConfigMap>;
  readonly configMap: { readonly namespace: string; readonly name: string };
  /** Called when other engines, or others under the same names, are there. */
  readonly onChange: () => void;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly log: Log;
}

export class EngineConfiguration {
  readonly #options: EngineConfigurationOptions;
  #engines: ReadonlyMap<string, Engine> = new Map();

  constructor(options: EngineConfigurationOptions) {
    this.#options = options;
    options.configMaps.onChange(() => this.#read());
  }

  get engines(): ReadonlyMap<string, Engine> {
    return this.#engines;
  }

  #read(): void {
    const { configMaps, configMap, onChange, log } = this.#options;
    const stored = configMaps.objects.get(configMap);
    const { engines, problems } = readEngines(stored?.data ?? {});
    this.#engines = engines;
    log.info({ engines: [...engines.keys()] }, 'engines configured');
    for (const { engine, message } of problems) if (stored !== undefined) this.#complain(stored, engine, message);
    onChange();
  }

  #complain({ metadata: { name, namespace, uid } }: ConfigMap, engine: string, message: string): void {
    this.#options.log.warn({ engine, reason: message }, 'an engine cannot be used');
    this.#options.events.emit({
      regarding: { apiVersion: 'v1', kind: 'ConfigMap', ...defined({ namespace }), name, uid },
      type: 'Warning',
      action: 'Configure',
      reason: 'EngineNotUsable',
      note: `engine ${engine}: ${message}`,
    });
  }
}
