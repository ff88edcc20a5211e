/** What is told, answered and fetched comes together: a room of the server's in a few lines, reached as over HTTP. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CommentApi, type SharedThread, type Thread } from "../../src/api/comments";
import { ApiError } from "../../src/api/errors";
import type { Call } from "../../src/api/client";
import { CommentStore } from "../../src/comments/store";

const AT = "2026-11-21T10:00:00Z";
const ada = { id: "ada", name: "Ada" };
const ben = { id: "ben", name: "Ben" };

/** A room: what it answers to a list, page by page, and what it was asked. */
class Server {
  readonly threads = new Map<string, SharedThread>();
  readonly asked: string[] = [];
  revision = 0;
  pageSize = 50;
  down = false;
  onPage: () => void = () => undefined;

  change(id: string, author = ben, fields: Partial<SharedThread> = {}): SharedThread {
    const before = this.threads.get(id);
    const written = [...(before?.comments ?? []), { id: `${id}-${this.revision}`, author, body: "Look", created_at: `2026-11-21T10:00:0${this.revision}Z`, edited_at: null, mentions: [] }];
    const thread: SharedThread = {
      id, x: 0, y: 0, element_id: null, created_by: author, created_at: AT, updated_at: AT, resolved_at: null, resolved_by: null,
      is_deleted: false, revision: ++this.revision, comments: fields.is_deleted ? [] : written, ...fields,
    };
    this.threads.set(id, thread);
    return thread;
  }

  readonly call = async (path: string, call: Call = {}): Promise<Response> => {
    this.asked.push(`${call.method ?? "GET"} ${path.replace("/api/v1/rooms/r/comments", "").replace("&limit=200", "")}`);
    if (this.down) throw new ApiError("away", { kind: "offline" });
    if (path.endsWith("/read")) return new Response(null, { status: 204 });
    if (call.method === "POST") return Response.json({ ...this.change("mine", ada), read_at: AT });
    const query = new URLSearchParams(path.split("?")[1]);
    const after = Math.max(Number(query.get("since")), Number(query.get("cursor") ?? 0));
    const found = [...this.threads.values()].filter((one) => one.revision > after && (after > 0 || !one.is_deleted)).sort((a, b) => a.revision - b.revision);
    const items = found.slice(0, this.pageSize).map((one): Thread => ({ ...one, read_at: null }));
    const more = found.length > items.length;
    const reached = more ? items.at(-1)!.revision : this.revision;
    this.onPage();
    return Response.json({ revision: reached, items, next_cursor: more ? String(reached) : null });
  };
}

const event = (thread: SharedThread, whole = true) => ({ kind: "comment", revision: thread.revision, thread: whole ? thread : null });

describe("the store (X2, X6)", () => {
  let server: Server;
  let store: CommentStore;
  const ids = () => store.state().threads.map((one) => one.id);

  beforeEach(() => {
    vi.useFakeTimers({ now: new Date(AT) });
    server = new Server();
    store = new CommentStore({ api: new CommentApi(server.call), room: "r", me: "ada" });
  });
  afterEach(() => {
    store.destroy();
    vi.useRealTimers();
  });

  it("fetches all pages, and then only what changed", async () => {
    server.pageSize = 2;
    for (const id of ["a", "b", "c"]) server.change(id);
    await store.refresh();
    expect(ids()).toEqual(["a", "b", "c"]);
    expect(store.state()).toMatchObject({ stage: "ready", unread: 3 });
    server.change("b", ben, { is_deleted: true });
    await store.refresh();
    expect(ids()).toEqual(["a", "c"]);
    expect(server.asked).toEqual(["GET ?since=0", "GET ?since=0&cursor=2", "GET ?since=3"]);
  });

  it("misses nothing that changes between two pages", async () => {
    server.pageSize = 1;
    for (const id of ["a", "b", "c"]) server.change(id);
    server.onPage = () => {
      server.onPage = () => undefined;
      server.change("a", ben, { is_deleted: true });
    };
    await store.refresh();
    expect(ids()).toEqual(["b", "c"]);
  });

  it("takes what it is told in order without asking", async () => {
    await store.refresh();
    store.hear(event(server.change("a")));
    store.hear(event(server.change("a")));
    await vi.advanceTimersByTimeAsync(2_000);
    expect(store.state()).toMatchObject({ unread: 1, news: "Ben commented: Look" });
    expect(store.state().threads[0]!.comments).toHaveLength(2);
    expect(server.asked).toHaveLength(1);
  });

  it("asks when something was lost, came twice or is too large to be told", async () => {
    await store.refresh();
    server.change("lost");
    const told = server.change("a");
    store.hear(event(told));
    store.hear(event(told));
    await vi.advanceTimersByTimeAsync(2_000);
    expect(ids()).toEqual(["a", "lost"]);
    store.hear(event(server.change("large"), false));
    await vi.advanceTimersByTimeAsync(2_000);
    expect(ids()).toEqual(["a", "large", "lost"]);
    expect(server.asked).toEqual(["GET ?since=0", "GET ?since=0", "GET ?since=2"]);
  });

  it("does not let an older answer take back what was told", async () => {
    const old = server.change("a");
    await store.refresh();
    const newer = server.change("a");
    store.hear(event(newer));
    store.hear(event(old));
    expect(store.state().threads[0]!.revision).toBe(2);
  });

  it("shows what I write at once, and asks for what came before it", async () => {
    await store.refresh();
    server.change("b");
    await store.begin({ x: 1, y: 2, element_id: null }, { body: "Hi", mentions: [] }, "key");
    expect(ids()).toEqual(["mine"]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(ids()).toEqual(["b", "mine"]);
  });

  it("says what is read once, and takes it back when that fails (X4)", async () => {
    server.change("a");
    await store.refresh();
    await store.markRead("a");
    await store.markRead("a");
    expect(store.state().unread).toBe(0);
    expect(server.asked.filter((one) => one.startsWith("POST"))).toEqual(["POST /a/read"]);
    store.hear(event(server.change("a")));
    expect(store.state().unread).toBe(1);
    server.down = true;
    await store.markRead("a");
    expect(store.state().unread).toBe(1);
  });

  it("says in words that nothing could be fetched, and keeps what it has later", async () => {
    server.down = true;
    await store.refresh();
    expect(store.state()).toMatchObject({ stage: "failed", words: { retry: true } });
    server.down = false;
    server.change("a");
    await store.refresh();
    server.down = true;
    await store.refresh();
    expect(store.state()).toMatchObject({ stage: "ready" });
    expect(ids()).toEqual(["a"]);
  });

  it("fetches everything anew after a long time: the server forgets what was removed", async () => {
    server.change("a");
    server.change("b");
    await store.refresh();
    server.threads.delete("a");
    vi.setSystemTime(Date.parse(AT) + 13 * 3600_000);
    await store.refresh();
    expect(ids()).toEqual(["b"]);
  });
});
