// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Limits one call by a deadline and by the caller's signal.

import { ApiError } from './api-error.ts';

export interface CallLimit {
  /** What was attempted, for the message. */
  readonly attempt: string;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `work` and rejects with an ApiError of kind `deadline` or `aborted` as soon as the limit is reached, even when
 * `work` does not listen. The signal given to `work` is aborted in the same moment.
 */
export function withinLimit<T>(limit: CallLimit, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { attempt, deadlineMs, signal } = limit;
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const stop = (kind: 'deadline' | 'aborted', detail: string): void => {
      reject(new ApiError({ kind, attempt, detail }));
      controller.abort();
    };
    const onAbort = (): void => stop('aborted', 'aborted by the caller');
    if (signal?.aborted) {
      onAbort();
      return;
    }
    const timer = setTimeout(() => stop('deadline', `no answer within ${deadlineMs} ms`), deadlineMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    void work(controller.signal)
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      });
  });
}
