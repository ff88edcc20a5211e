// @vitest-environment happy-dom
/** A list that is read page by page, as React renders it. */
import { act, createElement } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Page } from "../../src/api/types";
import { usePages, type Pages } from "../../src/app/pages";

type Answer = { resolve: (page: Page<string>) => void; reject: (error: Error) => void; cursor: string | null; signal: AbortSignal };

/** A server that answers when the test says so. */
function server(): { asked: Answer[]; load: (cursor: string | null, signal: AbortSignal) => Promise<Page<string>> } {
  const asked: Answer[] = [];
  return { asked, load: (cursor, signal) => new Promise((resolve, reject) => asked.push({ resolve, reject, cursor, signal })) };
}

type Load = ReturnType<typeof server>["load"];
let unmount = () => {};

function show(load: Load, wanted = true): { list: Pages<string>; again: (load: Load, wanted?: boolean) => void } {
  const shown = { list: null as unknown as Pages<string>, again: (_load: Load, _wanted?: boolean) => {} };
  const Shows = (props: { load: Load; wanted: boolean }) => {
    shown.list = usePages(props.load, props.wanted);
    return null;
  };
  const root = createRoot(document.createElement("div"));
  shown.again = (next, want = true) => act(() => root.render(createElement(Shows, { load: next, wanted: want })));
  shown.again(load, wanted);
  unmount = () => act(() => root.unmount());
  return shown;
}

const answer = (one: Answer | undefined, items: string[], next_cursor: string | null = null) =>
  act(async () => one!.resolve({ items, next_cursor }));

beforeAll(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
});
afterEach(() => unmount());

describe("usePages", () => {
  it("asks for the first page, then for more, once however often", async () => {
    const { asked, load } = server();
    const shown = show(load);
    expect(shown.list).toMatchObject({ items: [], stage: "loading", isLoading: true, hasMore: false });
    await answer(asked[0], ["a", "b"], "b");
    expect(shown.list).toMatchObject({ items: ["a", "b"], stage: "ready", isLoading: false, isLoadingMore: false, hasMore: true });
    act(() => shown.list.more());
    act(() => shown.list.more());
    expect(asked.map(({ cursor }) => cursor)).toEqual([null, "b"]);
    expect(shown.list).toMatchObject({ stage: "ready", isLoading: false, isLoadingMore: true });
    await answer(asked[1], ["c"]);
    expect(shown.list).toMatchObject({ items: ["a", "b", "c"], isLoadingMore: false, hasMore: false });
    act(() => shown.list.more());
    expect(asked).toHaveLength(2);
  });

  it("shows what is there while it is loaded anew, then only what came", async () => {
    const { asked, load } = server();
    const shown = show(load);
    await answer(asked[0], ["a"], "a");
    act(() => shown.list.more());
    act(() => shown.list.reload());
    expect(asked[1]!.signal.aborted).toBe(true);
    expect(shown.list).toMatchObject({ items: ["a"], stage: "ready", isLoading: true, isLoadingMore: false });
    await answer(asked[1], ["late"]);
    expect(shown.list.items).toEqual(["a"]);
    await answer(asked[2], ["new", "a"]);
    expect(shown.list).toMatchObject({ items: ["new", "a"], isLoading: false, hasMore: false });
  });

  it("says what went wrong until it is asked again", async () => {
    const { asked, load } = server();
    const shown = show(load);
    await act(async () => asked[0]!.reject(new TypeError("no network")));
    expect(shown.list).toMatchObject({ stage: "failed", isLoading: false });
    expect(shown.list.words?.title).toBeTruthy();
    act(() => shown.list.reload());
    expect(shown.list).toMatchObject({ stage: "failed", isLoading: true });
    await answer(asked[1], ["a"], "a");
    expect(shown.list).toMatchObject({ stage: "ready", words: null });
    act(() => shown.list.more());
    await act(async () => asked[2]!.reject(new TypeError("no network")));
    expect(shown.list).toMatchObject({ items: ["a"], stage: "failed" });
    act(() => shown.list.reload());
    await answer(asked[3], ["b"]);
    expect(shown.list).toMatchObject({ items: ["b"], stage: "ready", words: null });
  });

  it("is another list for another question: nothing of the one before is shown, whenever it comes", async () => {
    const [first, second] = [server(), server()];
    const shown = show(first.load);
    await answer(first.asked[0], ["a"], "a");
    act(() => shown.list.more());
    shown.again(second.load);
    expect(shown.list).toMatchObject({ items: [], stage: "loading", hasMore: false });
    await answer(first.asked[1], ["b"]);
    expect(shown.list.items).toEqual([]);
    await answer(second.asked[0], ["z"]);
    expect(shown.list.items).toEqual(["z"]);
  });

  it("asks for nothing that is not wanted", async () => {
    const { asked, load } = server();
    const shown = show(load, false);
    expect(asked).toHaveLength(0);
    expect(shown.list.isLoading).toBe(false);
    shown.again(load);
    await answer(asked[0], ["a"], "a");
    expect(shown.list.items).toEqual(["a"]);
    act(() => shown.list.more());
    shown.again(load, false);
    act(() => shown.list.more());
    expect(shown.list).toMatchObject({ items: ["a"], isLoading: false, isLoadingMore: false });
    expect(asked).toHaveLength(2);
    shown.again(load);
    await answer(asked[2], ["b"]);
    expect(shown.list.items).toEqual(["b"]);
  });

  it("asks for more while it is loaded anew, and shows no page behind a first one it does not follow", async () => {
    const { asked, load } = server();
    const shown = show(load);
    await answer(asked[0], ["a"], "a");
    act(() => shown.list.reload());
    act(() => shown.list.more());
    await answer(asked[1], ["z"], "z");
    await answer(asked[2], ["b"]);
    expect(shown.list).toMatchObject({ items: ["z"], hasMore: true, isLoadingMore: false });
  });
});
