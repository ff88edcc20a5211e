/**
 * The room's comments beside the canvas: the list, one thread, or a new one.
 *
 * Escape goes back, then closes.
 */
import { useMemo, useState, type ReactNode } from "react";
import type { Place, Thread, Words } from "../api/comments";
import type { Person } from "../api/types";
import { ago, count } from "../app/time";
import { Avatar } from "../ui/Avatar";
import { Drawer, DrawerProblem } from "../ui/Drawer";
import { BackIcon, CheckIcon, CommentIcon, PlusIcon } from "../ui/icons";
import { Composer } from "./Composer";
import { BEGUN } from "./drafts";
import type { CommentStore, CommentsState } from "./store";
import { ThreadView, type May } from "./ThreadView";
import { isUnread, namesOf } from "./threads";

export interface CommentPanelProps {
  readonly store: CommentStore;
  readonly state: CommentsState;
  readonly me: Person;
  readonly may: May;
  /** Names of people who are here and may not have written yet. */
  readonly here: ReadonlyMap<string, string>;
  readonly selected: string | null;
  readonly draft: Place | null;
  readonly onSelect: (id: string | null) => void;
  readonly onAdd: () => void;
  readonly onBegin: (words: Words, key: string) => Promise<unknown>;
  readonly onDrop: () => void;
  readonly onClose: () => void;
}

export function CommentPanel(props: CommentPanelProps): ReactNode {
  const { store, state, me, may, selected, draft, onClose } = props;
  const [shows, setShows] = useState<"open" | "resolved">("open");
  const thread = state.threads.find((one) => one.id === selected) ?? null;
  const names = useMemo(() => new Map([...props.here, ...namesOf(state.threads), [me.id, me.name]]), [props.here, state.threads, me]);
  const view = draft ? "draft" : thread ? "thread" : "list";

  const back = () => (draft ? props.onDrop() : props.onSelect(null));

  return (
    <Drawer
      title={view === "draft" ? "New comment" : view === "thread" ? "Comment" : "Comments"}
      closing="Close comments"
      testId="comments"
      className="comments"
      view={view === "draft" ? null : `${view} ${thread?.id}`}
      onClose={onClose}
      onEscape={view === "list" ? onClose : back}
      before={
        view !== "list" && (
          <button type="button" className="button button--icon button--quiet" aria-label="All comments" title="All comments" onClick={back} data-autofocus>
            <BackIcon />
          </button>
        )
      }
    >
      {view === "draft" && (
        <div className="drawer__body comments__draft">
          <Composer
            label="New comment"
            placeholder="What do you think? @ mentions somebody"
            submit="Comment"
            draft={store.drafts.of(BEGUN)}
            focus
            people={(q) => store.people(q)}
            onSubmit={props.onBegin}
            onCancel={props.onDrop}
          />
        </div>
      )}
      {view === "thread" && thread && (
        <div className="drawer__body">
          <ThreadView key={thread.id} thread={thread} store={store} me={me} may={may} names={names} />
        </div>
      )}
      {view === "list" && (
        <>
          <div className="drawer__tools">
            <div className="comments__states" role="group" aria-label="Which comments">
              {(["open", "resolved"] as const).map((one) => (
                <button key={one} type="button" className="comments__state" aria-pressed={shows === one} onClick={() => setShows(one)}>
                  {one === "open" ? "Open" : "Resolved"}
                </button>
              ))}
            </div>
            {may.comment && (
              <button type="button" className="button" onClick={props.onAdd}>
                <PlusIcon />
                Add
              </button>
            )}
          </div>
          <div className="drawer__body">
            <List {...props} threads={state.threads.filter((one) => (one.resolved_at !== null) === (shows === "resolved"))} shows={shows} />
          </div>
        </>
      )}
    </Drawer>
  );
}

function List({ threads, shows, state, store, me, may, onSelect }: CommentPanelProps & { threads: readonly Thread[]; shows: "open" | "resolved" }): ReactNode {
  if (state.stage === "failed" && state.words) {
    return <DrawerProblem words={state.words} onRetry={() => void store.refresh()} />;
  }
  if (state.stage === "loading") {
    return (
      <p className="drawer__note" role="status">
        Looking for comments…
      </p>
    );
  }
  if (threads.length === 0) {
    return (
      <div className="drawer__note" data-testid="comments-empty">
        <span className="comments__picture" aria-hidden="true">
          {shows === "open" ? <CommentIcon /> : <CheckIcon />}
        </span>
        <strong>{shows === "resolved" ? "Nothing resolved yet" : state.threads.length > 0 ? "All settled" : "No comments yet"}</strong>
        {shows === "open" && may.comment && (
          <span>
            Press{" "}
            <span className="only-keys">
              <kbd>C</kbd> or{" "}
            </span>
            “Add”, then click where it belongs.
          </span>
        )}
        {shows === "open" && !may.comment && <span>You may look at this room; what others write shows up here.</span>}
      </div>
    );
  }
  return (
    <ul className="drawer__list">
      {[...threads].reverse().map((thread) => {
        const first = thread.comments[0];
        const replies = thread.comments.length - 1;
        const unread = isUnread(thread, me.id);
        return (
          <li key={thread.id} className="drawer__row">
            <button type="button" className="comments__row" onClick={() => onSelect(thread.id)} data-testid="thread-row">
              <Avatar id={thread.created_by.id} name={thread.created_by.name} size={28} />
              <span className="comments__about">
                <span className="remark__head">
                  <strong>{thread.created_by.id === me.id ? "You" : thread.created_by.name}</strong>
                  <time dateTime={thread.updated_at}>{ago(thread.updated_at, Date.now())}</time>
                  {unread && (
                    <span className="comments__unread">
                      <span className="only-read">unread</span>
                    </span>
                  )}
                </span>
                <span className="comments__short">{first?.body}</span>
                {replies > 0 && <span className="comments__replies">{count(replies, "reply", "replies")}</span>}
              </span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
