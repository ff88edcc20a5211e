/** The distinct people among the tabs in a room. Pure. */
import type { Peer } from "../binding";

/**
 * One peer for each person but me, by name. Of a person's tabs the one being followed counts, else the one with a
 * pointer (the others are in the background), else the first.
 */
export function distinctPeople(peers: readonly Peer[], me: string, following: string | null): Peer[] {
  const people = new Map<string, Peer>();
  const rank = (peer: Peer) => (peer.socketId === following ? 2 : peer.pointer ? 1 : 0);
  for (const peer of peers) {
    if (peer.userId === me) continue;
    const known = people.get(peer.userId);
    if (!known || rank(peer) > rank(known)) people.set(peer.userId, peer);
  }
  return [...people.values()].sort((a, b) => a.name.localeCompare(b.name) || (a.userId < b.userId ? -1 : 1));
}
