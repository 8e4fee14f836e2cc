// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The audit record: one line of JSON on stdout for each step of an approval, whatever the log level (docs/logs.md).
import { type DestinationStream, pino } from 'pino';
import type { Transition } from '../domain/lifecycle/transition.ts';

/** Writes down a step that has been stored. */
export type Audit = (transition: Transition) => void;

/** `pod`: who writes. The format is docs/schemas/audit-record.schema.json. */
export function createAudit(pod: string, stream?: DestinationStream): Audit {
  const options = {
    level: 'info',
    base: { audit: 'stepup.dev/v1alpha1', pod },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const logger = stream === undefined ? pino(options) : pino(options, stream);
  return (transition) => logger.info(transition, 'transition');
}
