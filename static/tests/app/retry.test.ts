// @vitest-environment node
/** A server that restarts says when to come back, one that hangs says nothing; the stock provider comes back to both. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
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
  const http = createServer();
  const server = new WebSocketServer({ noServer: true });
  const silent: Duplex[] = [];
  const answered = new Promise<void>((done) => {
    http.on("upgrade", (request, socket, head) => {
      if (silent.length < 2) silent.push(socket.on("error", () => undefined));
      else server.handleUpgrade(request, socket, head, () => done());
    });
  });
  await new Promise<void>((done) => http.listen(0, "127.0.0.1", done));
  const provider = new WebsocketProvider(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`, "r", new Y.Doc(), {
    WebSocketPolyfill: WebSocket as unknown as typeof globalThis.WebSocket, disableBc: true, connect: false,
  });
  undo.push(() => http.close(), () => silent.forEach((socket) => socket.destroy()), () => provider.destroy());
  let closes = 0;
  provider.on("connection-close", () => (closes += 1));
  giveUpUnanswered(provider, 200);
  provider.connect();
  await answered;
  expect(closes).toBe(2);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(provider.wsconnected).toBe(true);
  expect(closes).toBe(2);
});
