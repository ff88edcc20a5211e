/**
 * What this browser keeps of rooms, so that they open without a network.
 *
 * Owns: the names of the databases, what is known of a room's head, and clearing. One database per user, room and
 * epoch: another epoch is another past and is dropped, never merged; another person never sees mine. An account that was
 * a guest in this browser goes on with the guest's, so that edits made offline are not left behind.
 */
import type { Room } from "../api/types";
import { forget, keysWith, readJson, writeJson } from "../app/storage";

const PREFIX = "kanvas";
const REGISTRY = "kanvas.databases";

export interface CacheName {
  readonly user: string;
  readonly room: string;
  readonly epoch: number;
}

export function databaseName({ user, room, epoch }: CacheName): string {
  return `${PREFIX}:${encodeURIComponent(user)}:${encodeURIComponent(room)}:${epoch}`;
}

/** The parts of a database's name, or null when it is not a room of ours. */
export function parseDatabaseName(name: string): CacheName | null {
  const parts = name.split(":");
  if (parts.length !== 4 || parts[0] !== PREFIX) return null;
  const [, user, room, epoch] = parts;
  if (!user || !room || !epoch || !/^\d+$/.test(epoch)) return null;
  try {
    return { user: decodeURIComponent(user), room: decodeURIComponent(room), epoch: Number(epoch) };
  } catch {
    return null;
  }
}

export function assetsDatabaseName(user: string): string {
  return `${PREFIX}-assets:${encodeURIComponent(user)}`;
}

function registered(): string[] {
  const value = readJson(REGISTRY);
  return Array.isArray(value) ? value.filter((name): name is string => typeof name === "string") : [];
}

/** Remembered beside the databases themselves, for browsers that can't list them. */
export function registerDatabase(name: string): void {
  const names = registered();
  if (!names.includes(name)) writeJson(REGISTRY, [...names, name]);
}

const heirKey = (user: string) => `kanvas.heir:${user}`;

/** This user, and the guests of this browser that became this user. */
function selves(user: string): string[] {
  const value = readJson(heirKey(user));
  return [user, ...(Array.isArray(value) ? value.filter((id): id is string => typeof id === "string") : [])];
}

/** From now on what is kept here for the guest is the account's. */
export function inherit(account: string, guest: string): void {
  const guests = selves(account).slice(1);
  if (!guests.includes(guest)) writeJson(heirKey(account), [...guests, guest]);
}

/** The name of the copy to use: my own, else one I made as a guest. */
export function keptName(name: CacheName): string {
  const names = selves(name.user).map((user) => databaseName({ ...name, user }));
  return names.find((one) => registered().includes(one)) ?? databaseName(name);
}

/** The same for files. */
export function keptAssetsName(user: string): string {
  const names = selves(user).map(assetsDatabaseName);
  return names.find((one) => registered().includes(one)) ?? assetsDatabaseName(user);
}

async function databaseNames(): Promise<string[]> {
  const names = new Set(registered());
  try {
    for (const { name } of (await indexedDB.databases?.()) ?? []) if (name) names.add(name);
  } catch {
    // The registry is enough.
  }
  return [...names];
}

/** Resolves also when the deletion is held up by another tab; it then happens as soon as that tab lets go. */
function deleteDatabase(name: string): Promise<void> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.deleteDatabase(name);
      request.onsuccess = request.onerror = request.onblocked = () => resolve();
    } catch {
      resolve();
    }
    writeJson(REGISTRY, registered().filter((kept) => kept !== name));
  });
}

async function deleteWhere(matches: (name: string) => boolean): Promise<void> {
  await Promise.all((await databaseNames()).filter(matches).map(deleteDatabase));
}

export async function dropOtherEpochs(user: string, room: string, epoch: number): Promise<void> {
  const mine = selves(user);
  await deleteWhere((name) => {
    const parsed = parseDatabaseName(name);
    return parsed !== null && mine.includes(parsed.user) && parsed.room === room && parsed.epoch !== epoch;
  });
}

/** Forgets one room: after it was deleted, or its access withdrawn, and the local copy dealt with. */
export async function clearRoom(user: string, room: string): Promise<void> {
  const mine = selves(user);
  for (const one of mine) forget(headKey(one, room));
  await deleteWhere((name) => {
    const parsed = parseDatabaseName(name);
    return parsed !== null && mine.includes(parsed.user) && parsed.room === room;
  });
}

/** Forgets everything of one person: at sign-out. */
export async function clearUser(user: string): Promise<void> {
  const mine = selves(user);
  for (const one of mine) {
    for (const key of [...keysWith(`kanvas.room:${one}:`), ...keysWith(`kanvas.lobby:${one}:`)]) forget(key);
  }
  forget(heirKey(user));
  const files = mine.map(assetsDatabaseName);
  await deleteWhere((name) => mine.includes(parseDatabaseName(name)?.user ?? "") || files.includes(name));
}

const headKey = (user: string, room: string) => `kanvas.room:${user}:${room}`;

/** What was last known of a room (title, epoch, role): enough to open it offline. */
export function keptHead(user: string, room: string): Room | null {
  const value = selves(user).map((one) => readJson(headKey(one, room))).find((one) => one !== null) ?? null;
  if (value === null || typeof value !== "object") return null;
  const head = value as Partial<Room>;
  return typeof head.id === "string" && typeof head.epoch === "number" && typeof head.title === "string" ? (head as Room) : null;
}

export function keepHead(user: string, room: Room): void {
  writeJson(headKey(user, room.id), room);
}

export function forgetHead(user: string, room: string): void {
  for (const one of selves(user)) forget(headKey(one, room));
}
