// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Structured logs to stdout: a constant message plus fields, never an object body, a Secret or a token.
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
type Fields = Readonly<Record<string, unknown>>;

/** What the rest of stepup needs of a logger. */
export interface Log {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
}

export function createLog(level: LogLevel): Log {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}

/** The fields of an error, without its stack: what was attempted and what came of it. */
export function errorFields(error: unknown): Fields {
  return { error: error instanceof Error ? error.message : String(error) };
}
