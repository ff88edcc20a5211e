/** The room's name; whoever may (its owner) edits it in place. */
import { useEffect, useRef, useState, type ReactNode } from "react";
import { wordsFor } from "../api/errors";
import type { Room } from "../api/types";
import { checkTitle, TITLE_MAX } from "../lobby/titles";
import { can } from "../share/roles";
import { useSay } from "../ui/toasts";

export function RoomTitle({ room, onRename }: { room: Room; onRename: (title: string) => Promise<void> }): ReactNode {
  const say = useSay();
  const [draft, setDraft] = useState<string | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const editing = draft !== null;

  useEffect(() => {
    if (editing) field.current?.select();
  }, [editing]);

  if (!can(room, "rename")) {
    return (
      <h1 className="room__title" title={room.title}>
        {room.title}
      </h1>
    );
  }

  const finish = (keep: boolean) => {
    if (draft === null) return;
    setDraft(null);
    requestAnimationFrame(() => button.current?.focus({ preventScroll: true }));
    const checked = checkTitle(draft);
    if (!keep || !checked.ok || checked.title === "" || checked.title === room.title) return;
    onRename(checked.title).catch((error: unknown) => {
      const words = wordsFor(error);
      say({ text: `The room keeps its name. ${words.title}. ${words.detail}`, tone: "bad" });
    });
  };

  return (
    <h1 className="room__title">
      {editing ? (
        <input
          ref={field}
          className="room__name-field"
          aria-label="Name of the room"
          maxLength={TITLE_MAX}
          value={draft}
          autoFocus
          onChange={(event) => setDraft(event.target.value)}
          onBlur={() => finish(true)}
          onKeyDown={(event) => {
            event.stopPropagation();
            if (event.key === "Enter") finish(true);
            else if (event.key === "Escape") finish(false);
          }}
        />
      ) : (
        <button
          ref={button}
          type="button"
          className="room__name"
          title="Rename the room"
          aria-label={`${room.title}, rename`}
          onClick={() => setDraft(room.title)}
        >
          {room.title}
        </button>
      )}
    </h1>
  );
}
