/**
 * Comments in the editor: pins on the canvas, the mode that places a new one, and the panel.
 *
 * Owns: which thread is looked at, and a thread that is being begun. Does not own: threads (store.ts). The key C begins
 * one wherever nobody writes.
 */
import "../styles/comments.css";
import { CaptureUpdateAction } from "@excalidraw/excalidraw";
import type { ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore, type ReactNode } from "react";
import type { Place, Words } from "../api/comments";
import type { Person, Room } from "../api/types";
import type { Peer } from "../binding";
import { CommentPanel } from "./CommentPanel";
import { Pins, shapesOf, viewOf } from "./Pins";
import { Placing } from "./Placing";
import { anchorOf } from "./placement";
import type { CommentStore } from "./store";
import { rights } from "./threads";

/** A pin nearer to an edge of the free canvas than this is brought into sight; the editor's tools are above. */
const EDGE_PX = 48;
const TOOLS_PX = 110;

const WRITING = "input, textarea, select, [contenteditable='true'], dialog[open] *";

export function Comments(props: {
  api: ExcalidrawImperativeAPI;
  store: CommentStore;
  room: Room;
  me: Person;
  peers: readonly Peer[];
  open: boolean;
  onOpen: (open: boolean) => void;
  /** The thread the address asks for: shown as soon as it is known. */
  asked: string | null;
}): ReactNode {
  const { api, store, me, open, onOpen } = props;
  const state = useSyncExternalStore(store.subscribe, store.state);
  const may = useMemo(() => rights(props.room), [props.room]);
  const [placing, setPlacing] = useState(false);
  const [draft, setDraft] = useState<Place | null>(null);
  const [selected, setSelected] = useState<string | null>(null);
  const here = useMemo(() => new Map(props.peers.map((peer) => [peer.userId, peer.name])), [props.peers]);

  const begin = useCallback(() => {
    setDraft(null);
    setSelected(null);
    onOpen(false);
    setPlacing(true);
  }, [onOpen]);

  useEffect(() => {
    if (!may.comment) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "c" || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat) return;
      const target = event.target;
      if ((target instanceof Element && target.closest(WRITING)) || document.querySelector("dialog[open], .excalidraw .Modal")) return;
      event.preventDefault();
      event.stopPropagation();
      begin();
    };
    window.addEventListener("keydown", onKey, { capture: true });
    return () => window.removeEventListener("keydown", onKey, { capture: true });
  }, [begin, may.comment]);

  // A role that was taken away, or a thread that somebody removed.
  useEffect(() => {
    if (may.comment) return;
    setPlacing(false);
    setDraft(null);
  }, [may.comment]);
  useEffect(() => {
    if (selected && !state.threads.some(({ id }) => id === selected)) setSelected(null);
  }, [selected, state.threads]);
  useEffect(() => {
    if (open) return;
    setSelected(null);
    setDraft(null);
  }, [open]);

  const show = useCallback(
    (id: string | null) => {
      setDraft(null);
      setSelected(id);
      if (id !== null) onOpen(true);
    },
    [onOpen],
  );

  const asked = useRef(props.asked);
  useEffect(() => {
    if (asked.current === null || !state.threads.some(({ id }) => id === asked.current)) return;
    show(asked.current);
    asked.current = null;
  }, [show, state.threads]);

  // Once the panel is there: it says what it leaves of the canvas.
  const looked = draft ?? state.threads.find((one) => one.id === selected) ?? null;
  const lookedAt = useRef(looked);
  lookedAt.current = looked;
  useEffect(() => {
    const at = lookedAt.current;
    if (!open || !at) return;
    const anchor = anchorOf(at, shapesOf(api, new Set(at.element_id === null ? [] : [at.element_id])));
    if (anchor) bringIntoSight(api, anchor.x, anchor.y, document.querySelector(".drawer.comments"));
  }, [api, draft, open, selected]);

  const onPlace = useCallback(
    (place: Place) => {
      setPlacing(false);
      setDraft(place);
      onOpen(true);
    },
    [onOpen],
  );
  const cancel = useCallback(() => setPlacing(false), []);

  const pinned = state.threads.filter((thread) => thread.resolved_at === null || thread.id === selected);
  return (
    <>
      <Pins api={api} threads={pinned} me={me.id} selected={selected} draft={draft} onSelect={show} />
      {placing && <Placing api={api} onPlace={onPlace} onCancel={cancel} />}
      {open && (
        <CommentPanel
          store={store}
          state={state}
          me={me}
          may={may}
          here={here}
          selected={selected}
          draft={draft}
          onSelect={show}
          onAdd={begin}
          onBegin={async (words: Words, key: string) => {
            if (!draft) return;
            const made = await store.begin(draft, words, key);
            setDraft(null);
            setSelected(made.id);
          }}
          onDrop={() => setDraft(null)}
          onClose={() => onOpen(false)}
        />
      )}
      <span className="only-read" role="status">
        {state.news}
      </span>
    </>
  );
}

/** Moves the view by as little as it takes to see the point beside the panel, or above it where it is a sheet. */
function bringIntoSight(api: ExcalidrawImperativeAPI, x: number, y: number, panel: Element | null): void {
  const { scrollX, scrollY, zoom, width, height } = viewOf(api);
  const { offsetLeft, offsetTop } = api.getAppState();
  const box = panel?.getBoundingClientRect();
  const isSheet = box !== undefined && box.width >= width - 1;
  const right = box && !isSheet ? box.left - offsetLeft : width;
  const bottom = isSheet ? box.top - offsetTop : height;
  const within = (value: number, start: number, end: number) => Math.min(Math.max(value, start), Math.max(start, end));
  const [left, top] = [(x + scrollX) * zoom, (y + scrollY) * zoom];
  const dx = within(left, EDGE_PX, right - EDGE_PX) - left;
  const dy = within(top, TOOLS_PX, bottom - EDGE_PX / 2) - top;
  if (dx === 0 && dy === 0) return;
  api.updateScene({
    appState: { scrollX: scrollX + dx / zoom, scrollY: scrollY + dy / zoom },
    captureUpdate: CaptureUpdateAction.NEVER,
  });
}
