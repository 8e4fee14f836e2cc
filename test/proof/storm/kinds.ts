// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What is approved in a round: for each kind of change its objects, the requests that race, and how an admin undoes it.
import type { AdminClient, KubeObject } from '../../support/control-plane/admin-client.ts';
import { adminName, type Claim } from './judge.ts';
import type { Stored } from './ledger.ts';
import { identicalOnes, isPlain, mixOf, oneOfEachContent, type Place, request, type Variants } from './mix.ts';
import type { Random } from './random.ts';
import type { Request } from './requests.ts';
import {
  containers,
  creationWrites,
  deletionWrites,
  deployment,
  imageWrites,
  orphaning,
  scaleWrites,
  service,
  serviceWrites,
} from './writes.ts';

export const namespaces = { content: 'storm', target: 'storm-target' } as const;

export interface Kind {
  readonly name: 'image' | 'service' | 'scale' | 'deletion' | 'creation' | 'target' | 'pair';
  /** Where the objects of a round are stored and served. */
  placeOf(id: string): Place;
  /** The object of that name as an admin makes it, before the approved change. */
  readonly object: (name: string) => KubeObject;
  readonly hasObject: boolean;
  /** What of the object is approved. */
  readonly contentOf: (stored: Stored) => string;
  /** Once it has come about, the same request changes nothing and passes, or finds the object gone. */
  readonly isIdempotent: boolean;
  readonly ofAdmin: readonly string[];
  readonly claims: (place: Place) => readonly Omit<Claim, 'approval'>[];
  /** The request that asks for the approval of each claim. */
  readonly asking: (place: Place) => readonly Request[];
  /** A mix of so many: mostly identical ones, the rest of another content, name or account. */
  readonly mix: (place: Place, count: number, random: Random) => readonly Request[];
  /** Identical ones that are sent again when nothing came of it; for a claim of any content each of them. */
  readonly again: (requests: readonly Request[], claim: number) => readonly Request[];
  readonly undo: (admin: AdminClient, place: Place) => Promise<void>;
  /** Writes by others that leave the approved part alone: of the status, and of the rest. */
  readonly writeStatus?: (admin: AdminClient, place: Place, turn: number) => Promise<void>;
  readonly writeRest?: (admin: AdminClient, place: Place, turn: number) => Promise<void>;
}

const named = `fieldManager=${adminName}`;

const deployments =
  (namespace: string) =>
  (id: string): Place => ({
    ...{ id, name: `storm-${id}`, other: `other-${id}` },
    path: `/apis/apps/v1/namespaces/${namespace}/deployments`,
    key: (name) => `/registry/deployments/${namespace}/${name}`,
  });

const services = (id: string): Place => ({
  ...{ id, name: `storm-${id}`, other: `other-${id}` },
  path: `/api/v1/namespaces/${namespaces.content}/services`,
  key: (name) => `/registry/services/specs/${namespaces.content}/${name}`,
});

function kindOf(
  name: Kind['name'],
  variants: Variants,
  rest: Pick<Kind, 'placeOf' | 'contentOf' | 'object' | 'ofAdmin' | 'claims' | 'undo'> & Partial<Kind>,
): Kind {
  return {
    name,
    hasObject: true,
    isIdempotent: true,
    asking: (place) =>
      variants
        .identical(place)
        .slice(0, 1)
        .map((write) => request('deployer', place, place.name, write, true)),
    mix: mixOf(variants),
    again: (requests) => identicalOnes(requests).slice(0, 2),
    ...rest,
  };
}

/** Old content by an admin, whom no policy asks. */
const patchBack =
  (body: object, subresource = '') =>
  async (admin: AdminClient, { path, name }: Place) => {
    await admin.patch(`${path}/${name}${subresource}?${named}`, body, 'strategic');
  };

const writeDeploymentStatus = async (admin: AdminClient, { path, name }: Place, turn: number) => {
  await admin.patch(`${path}/${name}/status?${named}`, { status: { collisionCount: turn } });
};
const writeDeploymentRest = async (admin: AdminClient, { path, name }: Place, turn: number) => {
  await admin.patch(`${path}/${name}?${named}`, { spec: { minReadySeconds: turn } });
};

export const createObject = async (admin: AdminClient, place: Place, object: KubeObject) => {
  await admin.post(`${place.path}?${named}`, object);
};

const newImage = 'new:1';
const imageOf = ({ spec }: Stored) => spec?.template?.spec?.containers?.[0]?.image ?? '';
const ofDeployment = {
  contentOf: imageOf,
  ...{ object: deployment('old:1'), ofAdmin: ['old:1'] },
  undo: patchBack(containers('old:1')),
  writeStatus: writeDeploymentStatus,
  writeRest: writeDeploymentRest,
};

const image = kindOf(
  'image',
  {
    identical: ({ name }) => imageWrites(newImage, name),
    otherContent: ({ name }) => imageWrites('bad:1', name),
    otherName: ({ other }) => imageWrites(newImage, other),
  },
  {
    ...ofDeployment,
    placeOf: deployments(namespaces.content),
    claims: ({ key, name }) => [{ key: key(name), effect: 'Content', content: newImage }],
  },
);

const scale = kindOf(
  'scale',
  {
    identical: ({ name }) => scaleWrites(7, name, namespaces.content),
    otherContent: ({ name }) => scaleWrites(9, name, namespaces.content),
    otherName: ({ other }) => scaleWrites(7, other, namespaces.content),
  },
  {
    ...ofDeployment,
    ofAdmin: ['1'],
    contentOf: ({ spec }) => String(spec?.replicas ?? 0),
    placeOf: deployments(namespaces.content),
    claims: ({ key, name }) => [{ key: key(name), effect: 'Content', content: '7' }],
    undo: patchBack({ spec: { replicas: 1 } }),
  },
);

const ofServices = kindOf(
  'service',
  {
    identical: () => serviceWrites('new'),
    otherContent: () => serviceWrites('bad'),
    otherName: () => serviceWrites('new'),
  },
  {
    placeOf: services,
    object: service,
    contentOf: ({ spec }) => spec?.selector?.version ?? '',
    ofAdmin: ['old'],
    claims: ({ key, name }) => [{ key: key(name), effect: 'Content', content: 'new' }],
    undo: patchBack({ spec: { selector: { version: 'old' } } }),
    writeStatus: async (admin, { path, name }, turn) => {
      await admin.patch(`${path}/${name}/status?${named}`, {
        status: {
          conditions: [
            {
              type: 'Turn',
              status: 'True',
              reason: `Turn${turn}`,
              message: '',
              lastTransitionTime: '2026-01-01T00:00:00Z',
            },
          ],
        },
      });
    },
    writeRest: async (admin, { path, name }, turn) => {
      await admin.patch(`${path}/${name}?${named}`, { metadata: { annotations: { turn: String(turn) } } });
    },
  },
);

const deletion = kindOf(
  'deletion',
  {
    identical: () => deletionWrites,
    otherContent: () => orphaning,
    otherName: () => deletionWrites,
  },
  {
    ...ofDeployment,
    placeOf: deployments(namespaces.content),
    claims: ({ key, name }) => [{ key: key(name), effect: 'Deletion' }],
    undo: async (admin, place) => {
      await createObject(admin, place, deployment('old:1')(place.name));
    },
  },
);

const creation = kindOf(
  'creation',
  {
    identical: ({ name }) => creationWrites(newImage, name),
    otherContent: ({ name }) => creationWrites('bad:1', name),
    otherName: ({ other }) => creationWrites(newImage, other),
  },
  {
    ...{ object: deployment('old:1'), hasObject: false, ofAdmin: ['old:1'], contentOf: imageOf, isIdempotent: false },
    placeOf: deployments(namespaces.content),
    claims: ({ key, name }) => [{ key: key(name), effect: 'Creation', content: newImage }],
    undo: async (admin, { path, name }) => {
      await admin.delete(`${path}/${name}`);
    },
  },
);

/** Not more, for each that is refused files an approval of its own. */
const contentsOfTarget = 9;

/** One approval for any content: many contents race, and each of them may be the one. */
const target: Kind = {
  ...image,
  name: 'target',
  isIdempotent: false,
  placeOf: deployments(namespaces.target),
  claims: ({ key, name }) => [{ key: key(name), effect: 'AnyContent' }],
  mix: (place, count, random) => {
    const requests = Array.from({ length: count }, (_, index) => {
      const writes = (name: string) => imageWrites(`new:${(index % contentsOfTarget) + 2}`, name);
      const write = (name: string) => random.pick(writes(name));
      if (index % 10 === 8) return request('deployer', place, place.other, write(place.other), false);
      if (index % 10 === 9)
        return request('stranger', place, place.name, random.pick(writes(place.name).filter(isPlain)), false);
      return request('deployer', place, place.name, write(place.name), true);
    });
    return random.shuffled(requests);
  },
  again: oneOfEachContent,
};

/** Two contents of one target, each approved, race: each may come about once, in either order. */
const pair: Kind = {
  ...image,
  name: 'pair',
  isIdempotent: false,
  claims: ({ key, name }) => ['a:1', 'b:1'].map((content) => ({ key: key(name), effect: 'Content', content })),
  asking: (place) =>
    ['a:1', 'b:1'].map((content) =>
      request('deployer', place, place.name, first(imageWrites(content, place.name)), true),
    ),
  mix: (place, count, random) => {
    const ofOne = (content: string) =>
      mixOf({
        identical: ({ name }) => imageWrites(content, name),
        otherContent: ({ name }) => imageWrites('bad:1', name),
        otherName: ({ other }) => imageWrites(content, other),
      })(place, Math.ceil(count / 2), random);
    return random.shuffled([...ofOne('a:1'), ...ofOne('b:1')]);
  },
  again: (requests, claim) =>
    identicalOnes(requests)
      .filter(({ body }) => JSON.stringify(body).includes(claim === 0 ? 'a:1' : 'b:1'))
      .slice(0, 2),
};

function first<T>(list: readonly T[]): T {
  const [one] = list;
  if (one === undefined) throw new Error('take the first of nothing');
  return one;
}

export const kinds: readonly Kind[] = [image, ofServices, scale, deletion, creation, target, pair];
