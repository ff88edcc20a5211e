/** In the room's bar: opens the comments, and says how many threads are unread. */
import { useSyncExternalStore, type ReactNode } from "react";
import { count } from "../app/time";
import { CommentIcon } from "../ui/icons";
import type { CommentStore } from "./store";

export function CommentsButton({ store, open, onToggle }: { store: CommentStore; open: boolean; onToggle: () => void }): ReactNode {
  const { unread } = useSyncExternalStore(store.subscribe, store.state);
  const label = unread > 0 ? `Comments, ${count(unread, "thread", "threads")} unread` : "Comments";
  return (
    <button
      type="button"
      className="button room__comments"
      aria-label={label}
      title={`${label} (C begins one)`}
      aria-expanded={open}
      onClick={onToggle}
      data-testid="comments-button"
    >
      <CommentIcon />
      {unread > 0 && (
        <span className="room__unread" aria-hidden="true">
          {unread > 99 ? "99+" : unread}
        </span>
      )}
    </button>
  );
}
