/**
 * Comments that mention me and that I have not seen, above my rooms.
 *
 * Owns: looking for them while somebody looks. A click opens the room with the thread beside it, and then it is seen.
 */
import { useCallback, useState, type ReactNode } from "react";
import type { Mention } from "../api/comments";
import { useApi } from "../app/context";
import { useLooking } from "../app/looking";
import { isPlainClick, navigate, threadPath } from "../app/router";
import { ago } from "../app/time";
import { Avatar } from "../ui/Avatar";

const SHOWN = 3;
/** Of the newest, this many are looked at. */
const LOOKED_AT = 20;

export function Mentions(): ReactNode {
  const { comments } = useApi();
  const [unread, setUnread] = useState<readonly Mention[]>([]);
  const [all, setAll] = useState(false);
  useLooking(
    useCallback(
      async (signal: AbortSignal) => setUnread((await comments.mentions(LOOKED_AT, signal)).items.filter((one) => one.is_unread)),
      [comments],
    ),
  );
  if (unread.length === 0) return null;
  const shown = all ? unread : unread.slice(0, SHOWN);
  return (
    <section className="mentions" aria-labelledby="mentions-head" data-testid="mentions">
      <h2 id="mentions-head" className="lobby__heading">
        You are mentioned
      </h2>
      <ul className="mentions__list">
        {shown.map(({ room, thread_id: thread, comment }) => (
          <li key={comment.id}>
            <a
              className="mentions__one"
              href={threadPath(room.id, thread)}
              data-testid="mention"
              onClick={(event) => {
                if (!isPlainClick(event)) return;
                event.preventDefault();
                navigate(threadPath(room.id, thread));
              }}
            >
              <Avatar id={comment.author.id} name={comment.author.name} size={32} />
              <span className="mentions__about">
                <span className="mentions__where">
                  <strong>{comment.author.name}</strong> in <strong>{room.title}</strong> · <time dateTime={comment.created_at}>{ago(comment.created_at, Date.now())}</time>
                </span>
                <span className="mentions__words">{comment.body}</span>
              </span>
            </a>
          </li>
        ))}
      </ul>
      {shown.length < unread.length && (
        <button type="button" className="button button--quiet" onClick={() => setAll(true)}>
          Show all {unread.length}
        </button>
      )}
    </section>
  );
}
