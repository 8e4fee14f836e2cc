// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What happens around the requests of a round while they race.
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeObject } from '../../support/control-plane/admin-client.ts';
import type { Kind } from './kinds.ts';
import type { Place } from './mix.ts';
import type { Random } from './random.ts';
import { type Lab, leasePath } from './storm-lab.ts';

export const disturbanceNames = [
  'none',
  'undone',
  'status writes',
  'other writers',
  'watches cut',
  'etcd paused',
  'API server frozen',
  'API server behind',
  'one replica killed',
  'all replicas killed',
  'Lease handed over',
  'leader frozen',
  'leader killed',
] as const;
export type DisturbanceName = (typeof disturbanceNames)[number];

/** Fifty rounds, mixed: a share of each. The leader is killed in every second turn, for nobody leads for 15 s then. */
const shares: Readonly<Record<DisturbanceName, number>> = {
  none: 11,
  undone: 10,
  'status writes': 6,
  'other writers': 6,
  'watches cut': 3,
  'etcd paused': 3,
  'API server frozen': 3,
  'API server behind': 3,
  'one replica killed': 1,
  'all replicas killed': 1,
  'Lease handed over': 1,
  'leader frozen': 1,
  'leader killed': 1,
};
const turn: readonly DisturbanceName[] = spread();

/** The kinds come round in sevens and these in fifties, so that every pair of them comes up in 350 rounds. */
export function disturbanceOf(round: number): DisturbanceName {
  return turn[round % turn.length] ?? 'none';
}

/** The same order always, and no share in one heap. */
function spread(): readonly DisturbanceName[] {
  const dates = disturbanceNames.flatMap((name, offset) =>
    Array.from({ length: shares[name] }, (_, index) => ({ name, date: (index + (offset + 1) / 14) / shares[name] })),
  );
  return dates.sort((a, b) => a.date - b.date).map(({ name }) => name);
}

export interface Scene {
  readonly lab: Lab;
  readonly kind: Kind;
  readonly place: Place;
  /** Those that the round's requests may reserve. */
  readonly approvals: readonly string[];
  readonly random: Random;
  /** Aborts when all requests are answered. */
  readonly over: AbortSignal;
  readonly note: (what: string) => void;
}

/** Resolves when the disturbance has ended, whatever it has left behind. In every third round effects are undone as well. */
export async function disturb(name: DisturbanceName, scene: Scene): Promise<void> {
  const isUndone = name !== 'none' && name !== 'undone' && scene.random.next() < 1 / 3;
  await Promise.all([happen(name, scene), isUndone ? undoEach(scene) : undefined]);
}

async function happen(name: DisturbanceName, scene: Scene): Promise<void> {
  switch (name) {
    case 'none':
      return;
    case 'undone':
      return undoEach(scene);
    case 'status writes':
      return writeBetween(scene, scene.kind.writeStatus);
    case 'other writers':
      return writeBetween(scene, scene.kind.writeRest);
    case 'watches cut':
      return cutWatches(scene);
    case 'etcd paused':
      return pauseEtcd(scene);
    case 'API server frozen':
      return freezeApiServer(scene);
    case 'API server behind':
      return fallBehind(scene);
    case 'one replica killed':
    case 'all replicas killed':
      return killReserving(scene, name === 'all replicas killed');
    case 'Lease handed over':
      return handOver(scene);
    case 'leader frozen':
    case 'leader killed':
      return strikeLeader(scene, name === 'leader killed');
  }
}

/** Puts back each effect as soon as it is in the history, so that the next one would show. */
async function undoEach({ lab, kind, place, over, random, note }: Scene): Promise<void> {
  const key = place.key(place.name);
  let seen = lab.ledger.statesOf([key]).length;
  const isChanged = () => {
    const states = lab.ledger.statesOf([key]);
    const last = states.at(-1);
    if (states.length === seen || last === undefined) return false;
    seen = states.length;
    return kind.hasObject ? last.kind === 'Deleted' || !kind.ofAdmin.includes(last.content) : last.kind === 'Written';
  };
  while (await lab.ledger.until(isChanged, over)) {
    await kind.undo(lab.admin(random.between(0, 1)), place).then(
      () => note('undone'),
      () => {}, // changed again meanwhile, which the next turn sees
    );
  }
}

/** Few enough that an approval does not run out of uses (it holds 16) for each of them may cost one. */
const mostWrites = 6;

async function writeBetween({ lab, place, random, over, note }: Scene, write: Kind['writeRest']): Promise<void> {
  for (let turn = 1; turn <= mostWrites && !over.aborted; turn++) {
    await sleep(random.between(0, 25));
    await write?.(lab.admin(turn), place, turn).then(
      () => note('written'),
      () => {}, // deleted meanwhile
    );
  }
}

async function cutWatches({ lab, random, over, note }: Scene): Promise<void> {
  for (let times = 0; times < 4 && !over.aborted; times++) {
    await sleep(random.between(5, 60));
    lab.proxy.cut();
    note('cut');
  }
}

async function pauseEtcd({ lab, random, note }: Scene): Promise<void> {
  await sleep(random.between(0, 60));
  lab.cluster.etcd.pause();
  note('paused');
  await sleep(random.between(200, 2_000));
  lab.cluster.etcd.resume();
}

/** Requests in it are admitted, and go on to etcd when others have long been answered. */
async function freezeApiServer({ lab, random, note }: Scene): Promise<void> {
  const frozen = lab.cluster.apiServers[1];
  await sleep(random.between(0, 150));
  frozen?.pause();
  note('frozen');
  await sleep(random.between(200, 2_500));
  frozen?.resume();
}

/** What etcd says reaches one API server late: its cache is stale, and it learns last what it has written. */
async function fallBehind({ lab, random, over, note }: Scene): Promise<void> {
  lab.etcdProxy.delay(random.between(20, 200));
  note('behind');
  await Promise.race([sleep(5_000), lab.ledger.until(() => false, over)]);
  lab.etcdProxy.delay(0);
}

/** What the API server answers takes so long that a replica dies after it has reserved and before it has answered. */
const answerMs = 150;

async function killReserving({ lab, approvals, random, over, note }: Scene, isAll: boolean): Promise<void> {
  const isReserved = () => approvals.some((name) => (lab.ledger.livesOf(name).at(-1)?.uses ?? 0) > 0);
  lab.proxy.delay(answerMs);
  const isBetween = await lab.ledger.until(isReserved, AbortSignal.any([over, AbortSignal.timeout(5_000)]));
  const names = lab.node.pods().map(({ name }) => name);
  for (const name of isAll ? names : [random.pick(names)]) lab.node.kill(name);
  lab.proxy.delay(0);
  if (isBetween) note('killed between reservation and answer');
}

async function leaderOf(lab: Lab): Promise<string> {
  const { spec } = await lab.admin(0).get<KubeObject & { spec: { holderIdentity?: string } }>(leasePath);
  return spec.holderIdentity?.split('_')[0] ?? '';
}

/** Somebody takes the Lease away from the leader, and lets it go. */
async function handOver({ lab, note }: Scene): Promise<void> {
  const renewTime = new Date().toISOString().replace('Z', '000Z');
  await lab.admin(0).patch(leasePath, { spec: { holderIdentity: 'nobody', leaseDurationSeconds: 1, renewTime } });
  note('handed over');
}

async function strikeLeader({ lab, random, note }: Scene, isKilled: boolean): Promise<void> {
  const leader = await leaderOf(lab);
  if (!lab.node.pods().some(({ name }) => name === leader)) return;
  await sleep(random.between(0, 40));
  lab.node.kill(leader, isKilled ? 'SIGKILL' : 'SIGSTOP');
  note(isKilled ? 'leader killed' : 'leader frozen');
  if (isKilled) return;
  await sleep(random.between(300, 2_000));
  lab.node.kill(leader, 'SIGCONT');
}
