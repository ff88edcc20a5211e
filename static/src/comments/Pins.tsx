/**
 * Pins on the canvas: where threads are, and where a new one will be. They follow the view and their elements.
 *
 * Lies between Excalidraw's canvas and its panels. Does not own: threads (store.ts), places (placement.ts).
 */
import { useEffect, useReducer, type ReactNode } from "react";
import type { ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type { Place, Thread } from "../api/comments";
import { Avatar } from "../ui/Avatar";
import { CommentIcon } from "../ui/icons";
import { pinsIn, type Shape, type View } from "./placement";
import { isUnread, labelOf } from "./threads";

const DRAFT = "draft";

export function viewOf(api: ExcalidrawImperativeAPI): View {
  const { scrollX, scrollY, zoom, width, height } = api.getAppState();
  return { scrollX, scrollY, zoom: zoom.value, width, height };
}

/** Those of the scene's elements that pins hold on to; the deleted too, which say where they were. */
export function shapesOf(api: ExcalidrawImperativeAPI, wanted: ReadonlySet<string>): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  if (wanted.size === 0) return shapes;
  for (const element of api.getSceneElementsIncludingDeleted()) if (wanted.has(element.id)) shapes.set(element.id, element as Shape);
  return shapes;
}

export function Pins(props: {
  api: ExcalidrawImperativeAPI;
  threads: readonly Thread[];
  me: string;
  selected: string | null;
  draft: Place | null;
  onSelect: (id: string) => void;
}): ReactNode {
  const { api, threads, draft } = props;
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const active = threads.length > 0 || draft !== null;
  useEffect(() => {
    if (!active) return;
    let frame = 0;
    const soon = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(redraw);
    };
    const off = [api.onChange(soon), api.onScrollChange(soon)];
    return () => {
      cancelAnimationFrame(frame);
      for (const stop of off) stop();
    };
  }, [active, api]);
  if (!active) return null;

  const all = draft ? [...threads, { id: DRAFT, ...draft }] : threads;
  const wanted = new Set(all.flatMap(({ element_id }) => (element_id === null ? [] : [element_id])));
  const byId = new Map(threads.map((thread) => [thread.id, thread]));
  return (
    <div className="pins" data-testid="pins">
      {pinsIn(all, shapesOf(api, wanted), viewOf(api)).map(({ id, left, top }) => {
        const thread = byId.get(id);
        const style = { left, top };
        if (!thread) {
          return (
            <span key={id} className="pin pin--draft" style={style} data-testid="pin-draft" aria-hidden="true">
              <CommentIcon />
            </span>
          );
        }
        const unread = isUnread(thread, props.me);
        const name = ["pin", thread.resolved_at && "pin--resolved", id === props.selected && "pin--selected"].filter(Boolean).join(" ");
        return (
          <button
            key={id}
            type="button"
            className={name}
            style={style}
            aria-label={labelOf(thread, unread)}
            aria-pressed={id === props.selected}
            title={thread.comments[0]?.body.slice(0, 120)}
            onClick={() => props.onSelect(id)}
            data-testid="pin"
            data-thread={id}
          >
            <Avatar id={thread.created_by.id} name={thread.created_by.name} size={24} />
            {unread && <span className="pin__unread" />}
          </button>
        );
      })}
    </div>
  );
}
