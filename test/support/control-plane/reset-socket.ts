// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Resets a connection without leaving its handle behind.

import type { Socket } from 'node:net';

/**
 * Ends it with a reset. A socket whose end is under way cannot be reset: Node 24 reports EINVAL, never closes the handle
 * and then spins for ever when the process exits. That one is just closed.
 */
export function resetSocket(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
