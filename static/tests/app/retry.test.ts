// @vitest-environment node
/** A server that restarts says when to come back, one that hangs says nothing; the stock provider comes back to both. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { giveUpUnanswered, heedRestarts, retryAfterMs } from "../../src/room/retry";

let undo: Array<() => void> = [];
afterEach(() => {
  for (const one of undo.reverse()) one();
  undo = [];
});

describe("retryAfterMs", () => {
  it("is what the server said, within bounds", () => {
    const reason = "The server is restarting; reconnect in 730 ms.";
    expect(retryAfterMs({ code: 1012, reason })).toBe(730);
    expect(retryAfterMs({ code: 1011, reason })).toBeNull();
    expect(retryAfterMs({ code: 1012, reason: "The server is restarting; reconnect in a moment." })).toBeNull();
    expect(retryAfterMs({ code: 1012, reason: "reconnect in 1 ms" })).toBe(100);
    expect(retryAfterMs({ code: 1012, reason: "reconnect in 999999 ms" })).toBe(10_000);
    expect(retryAfterMs(null)).toBeNull();
  });
});

it("the provider comes back no sooner than it was told, and then as ever", async () => {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  await new Promise<void>((done) => http.listen(0, "127.0.0.1", done));
  const came: number[] = [];
  const reasons = ["reconnect in 600 ms", "no word of it"];
  const third = new Promise<void>((done) => {
    server.on("connection", (socket) => {
      came.push(performance.now());
      const reason = reasons[came.length - 1];
      if (reason === undefined) done();
      else socket.close(1012, reason);
    });
  });
  const provider = new WebsocketProvider(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`, "r", new Y.Doc(), {
    WebSocketPolyfill: WebSocket as unknown as typeof globalThis.WebSocket, disableBc: true, connect: false, maxBackoffTime: 60_000,
  });
  undo.push(() => http.close(), () => server.close(), () => provider.destroy());
  heedRestarts(provider);
  provider.connect();
  await third;
  const [first, second] = [came[1]! - came[0]!, came[2]! - came[1]!];
  expect(first).toBeGreaterThanOrEqual(595);
  // doubled from there, as after any close
  expect(second).toBeGreaterThanOrEqual(1190);
});

it("an attempt nobody answers is given up and made anew, one that was answered stays", async () => {
  // a machine that is busy elsewhere must not make the attempt that is answered too late
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  undo.push(() => void vi.useRealTimers());
  const http = createServer();
  const server = new WebSocketServer({ noServer: true });
  const silent: Duplex[] = [];
  http.on("upgrade", (request, socket, head) => {
    if (silent.length < 2) silent.push(socket.on("error", () => undefined));
    else server.handleUpgrade(request, socket, head, () => undefined);
  });
  await new Promise<void>((done) => http.listen(0, "127.0.0.1", done));
  const provider = new WebsocketProvider(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`, "r", new Y.Doc(), {
    WebSocketPolyfill: WebSocket as unknown as typeof globalThis.WebSocket, disableBc: true, connect: false,
  });
  undo.push(() => http.close(), () => silent.forEach((socket) => socket.destroy()), () => provider.destroy());
  let closes = 0;
  let closed = () => undefined as void;
  provider.on("connection-close", () => {
    closes += 1;
    closed();
  });
  giveUpUnanswered(provider, 200);
  let asked = once(http, "upgrade");
  provider.connect();
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    await asked;
    vi.advanceTimersByTime(199);
    expect(provider.ws!.readyState).toBe(WebSocket.CONNECTING);
    const gone = new Promise<void>((done) => (closed = done));
    vi.advanceTimersByTime(1);
    await gone;
    asked = once(http, "upgrade");
    // as long as the provider waits by itself
    vi.advanceTimersByTime(100 * 2 ** attempt);
  }
  await new Promise<void>((done) => provider.on("status", ({ status }) => status === "connected" && done()));
  vi.advanceTimersByTime(500);
  expect(provider.ws!.readyState).toBe(WebSocket.OPEN);
  expect(closes).toBe(2);
});
