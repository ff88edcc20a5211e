/** A large first sync over a slow line: the provider waits for it, and not for ever. */
import { describe, expect, it, vi } from "vitest";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { bePatient, FIRST_SYNC_MS } from "../../src/room/patience";
import { Room, type Socket } from "../binding/room";

// Before the imports: lib0 keeps the Date.now it finds.
vi.hoisted(() => vi.useFakeTimers());

/** A provider whose sync step 2 is under way for as long as the test wants. */
function slow(patient: boolean) {
  const room = new Room();
  const held: (() => void)[] = [];
  room.open = (socket: Socket) => void room.sockets.add(socket);
  room.receive = (socket, data) => void held.push(() => Room.prototype.receive.call(room, socket, data));
  const doc = new Y.Doc();
  const provider = new WebsocketProvider("ws://room", "r", doc, { connect: false, disableBc: true, WebSocketPolyfill: room.Socket });
  if (patient) bePatient(provider);
  let closes = 0;
  provider.on("connection-close", () => (closes += 1));
  provider.connect();
  const end = () => {
    provider.destroy();
    provider.awareness.destroy();
    doc.destroy();
  };
  return { provider, arrive: () => held.splice(0).forEach((step) => step()), closes: () => closes, end };
}

describe("bePatient", () => {
  it("outlasts the 30 s after which the provider alone gives up", async () => {
    const impatient = slow(false);
    const { provider, arrive, closes, end } = slow(true);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(impatient.closes()).toBeGreaterThan(0);
    expect(closes()).toBe(0);
    arrive();
    await vi.advanceTimersByTimeAsync(10);
    expect(provider.synced).toBe(true);
    impatient.end();
    end();
  });

  it("does not wait for ever, nor longer than 30 s once it is synced", async () => {
    const never = slow(true);
    await vi.advanceTimersByTimeAsync(FIRST_SYNC_MS + 40_000);
    expect(never.closes()).toBeGreaterThan(0);
    never.end();

    const once = slow(true);
    await vi.advanceTimersByTimeAsync(10);
    once.arrive();
    await vi.advanceTimersByTimeAsync(40_000);
    expect(once.closes()).toBeGreaterThan(0);
    once.end();
    // The last one is the provider's own: it would have come back, and finds that it is to stay away.
    await vi.advanceTimersByTimeAsync(60_000);
    expect(vi.getTimerCount()).toBe(0);
  });
});
