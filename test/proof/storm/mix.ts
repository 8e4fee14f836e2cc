// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The requests of a round: mostly identical ones, and some that differ in one thing.
import type { Random } from './random.ts';
import type { Account, Request } from './requests.ts';
import { applyType, type Write } from './writes.ts';

/** The targets of one round: the one that is approved, and another one that is not. */
export interface Place {
  readonly id: string;
  readonly path: string;
  readonly name: string;
  readonly other: string;
  readonly key: (name: string) => string;
}

export interface Variants {
  readonly identical: (place: Place) => readonly Write[];
  readonly otherContent: (place: Place) => readonly Write[];
  readonly otherName: (place: Place) => readonly Write[];
}

export function request(by: Account, place: Place, name: string, write: Write, isIdentical: boolean): Request {
  const { subresource, ...rest } = write;
  const object = write.method === 'POST' ? place.path : `${place.path}/${name}`;
  return { by, path: subresource === undefined ? object : `${object}/${subresource}`, isIdentical, ...rest };
}

/** Seven of ten identical, and one of ten each of another content, of another name, and by another account. */
export function mixOf({ identical, otherContent, otherName }: Variants) {
  return (place: Place, count: number, random: Random): readonly Request[] => {
    const requests = Array.from({ length: count }, (_, index) => {
      switch (index % 10) {
        case 7:
          return request('deployer', place, place.name, random.pick(otherContent(place)), false);
        case 8:
          return request('deployer', place, place.other, random.pick(otherName(place)), false);
        case 9:
          return request('stranger', place, place.name, random.pick(identical(place).filter(isPlain)), false);
        default:
          return request('deployer', place, place.name, random.pick(identical(place)), true);
      }
    });
    return random.shuffled(requests);
  };
}

/** Writes nothing but the change: by replacing or applying a stranger would be seen in the history for less. */
export const isPlain = ({ method, contentType }: Write) => method !== 'PUT' && contentType !== applyType;

export const identicalOnes = (requests: readonly Request[]) => requests.filter(({ isIdentical }) => isIdentical);

/** One for each content that the identical ones have. */
export const oneOfEachContent = (requests: readonly Request[]) => {
  const contentOf = ({ body }: Request) => /"[a-z]+:\d+"/.exec(JSON.stringify(body))?.[0];
  const contents = new Map(identicalOnes(requests).map((one) => [contentOf(one), one]));
  return [...contents.values()];
};
