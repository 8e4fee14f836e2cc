// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Hands out loopback addresses, from a /24 that no other stand-in node on this machine uses.

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

export interface AddressRange {
  /** The lowest free number and its loopback address. */
  take(): { readonly number: number; readonly address: string };
  release(number: number): void;
  close(): void;
}

/** The kubelet's port: holding it on the range's first address is what claims the range. */
const claimPort = 10250;
const first = 2;
const last = 254;

export async function claimAddresses(): Promise<AddressRange> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const prefix = `127.${randomInt(16, 255)}.${randomInt(0, 255)}`;
    const claim = await listen(`${prefix}.1`);
    if (claim) return rangeOf(prefix, () => claim.close());
  }
  throw new Error('claim a loopback range: 50 of 50 were taken or cannot be bound (only Linux has all of 127.0.0.0/8)');
}

function rangeOf(prefix: string, close: () => void): AddressRange {
  const taken = new Set<number>();
  return {
    take: () => {
      for (let number = first; number <= last; number++) {
        if (taken.has(number)) continue;
        taken.add(number);
        return { number, address: `${prefix}.${number}` };
      }
      throw new Error(`take an address of ${prefix}.0/24: none left`);
    },
    release: (number) => {
      taken.delete(number);
    },
    close,
  };
}

function listen(host: string) {
  return new Promise<ReturnType<typeof createServer> | undefined>((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    server.listen(claimPort, host, () => resolve(server.unref()));
  });
}
