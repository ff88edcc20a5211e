/** One thread: what was written, what I may do with it, and where I reply. */
import { useEffect, useMemo, useState, type ReactNode } from "react";
import type { Remark, Thread } from "../api/comments";
import { wordsFor } from "../api/errors";
import type { Person } from "../api/types";
import { ago } from "../app/time";
import { Avatar } from "../ui/Avatar";
import { CheckIcon, PenIcon, RestoreIcon, TrashIcon } from "../ui/icons";
import { useSay } from "../ui/toasts";
import { Composer } from "./Composer";
import { newDraft, type Draft } from "./drafts";
import type { CommentStore } from "./store";
import { mayRemove, segments } from "./threads";

export interface May {
  readonly comment: boolean;
  readonly moderate: boolean;
}

export function ThreadView(props: { thread: Thread; store: CommentStore; me: Person; may: May; names: ReadonlyMap<string, string> }): ReactNode {
  const { thread, store, me, may } = props;
  const say = useSay();
  const [asking, setAsking] = useState(false);
  const last = thread.comments.at(-1)?.id;

  // Seen is what is on the screen of somebody who looks at it.
  useEffect(() => {
    const look = () => {
      if (document.visibilityState === "visible") void store.markRead(thread.id);
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [last, store, thread.id]);

  const attempt = async (work: Promise<unknown>) => {
    try {
      await work;
    } catch (error) {
      say({ text: wordsFor(error).detail, tone: "bad" });
    }
  };
  const resolved = thread.resolved_at !== null;
  const onlyMine = thread.comments.every((one) => one.author.id === me.id);

  return (
    <article className="thread" data-testid="thread">
      {(may.comment || may.moderate) && (
        <div className="thread__tools">
          {may.comment && (
            <button type="button" className="button" onClick={() => void attempt(store.resolve(thread.id, !resolved))}>
              {resolved ? <RestoreIcon /> : <CheckIcon />}
              {resolved ? "Open again" : "Resolve"}
            </button>
          )}
          {(may.moderate || (may.comment && onlyMine)) && (
            <button
              type="button"
              className="button button--icon button--quiet"
              aria-label="Remove this thread"
              title="Remove this thread"
              aria-expanded={asking}
              onClick={() => setAsking(!asking)}
            >
              <TrashIcon />
            </button>
          )}
        </div>
      )}
      {asking && (
        <div className="thread__ask" role="group" aria-label="Remove this thread?">
          <span>Remove {thread.comments.length === 1 ? "this comment" : `all ${thread.comments.length} comments`} for good?</span>
          <button type="button" className="button button--danger" onClick={() => void attempt(store.removeThread(thread.id))}>
            Remove
          </button>
        </div>
      )}
      {resolved && (
        <p className="thread__resolved" role="status">
          Resolved by {thread.resolved_by?.name ?? "somebody"}, {ago(thread.resolved_at, Date.now())}
        </p>
      )}
      <ol className="thread__remarks">
        {thread.comments.map((remark) => (
          <RemarkView key={remark.id} remark={remark} {...props} attempt={attempt} alone={thread.comments.length === 1} />
        ))}
      </ol>
      {may.comment && (
        <Composer
          label="Reply"
          placeholder={resolved ? "Reply and open it again" : "Reply; @ mentions somebody"}
          submit="Reply"
          draft={store.drafts.of(thread.id)}
          people={(q) => store.people(q)}
          onSubmit={(words, key) => store.reply(thread.id, words, key)}
        />
      )}
    </article>
  );
}

function RemarkView(props: {
  remark: Remark;
  thread: Thread;
  store: CommentStore;
  me: Person;
  may: May;
  names: ReadonlyMap<string, string>;
  alone: boolean;
  attempt: (work: Promise<unknown>) => Promise<void>;
}): ReactNode {
  const { remark, thread, store, me, may, names } = props;
  const [draft, setDraft] = useState<Draft | null>(null);
  const mentioned = useMemo(
    () => new Map(remark.mentions.flatMap((id) => (names.has(id) ? [[id, names.get(id)!] as const] : []))),
    [names, remark.mentions],
  );
  const mine = remark.author.id === me.id;
  const forMe = remark.mentions.includes(me.id) && !mine;
  return (
    <li className={forMe ? "remark remark--for-me" : "remark"} data-testid="remark">
      <Avatar id={remark.author.id} name={remark.author.name} size={28} />
      <div className="remark__main">
        <p className="remark__head">
          <strong>{mine ? "You" : remark.author.name}</strong>
          <time dateTime={remark.created_at} title={new Date(remark.created_at).toLocaleString()}>
            {ago(remark.created_at, Date.now())}
          </time>
          {remark.edited_at && <span title={new Date(remark.edited_at).toLocaleString()}>edited</span>}
          {forMe && <span className="only-read">mentions you</span>}
        </p>
        {draft ? (
          <Composer
            label="Change the comment"
            placeholder="What it says"
            submit="Save"
            focus
            draft={draft}
            people={(q) => store.people(q)}
            onCancel={() => setDraft(null)}
            onSubmit={async (words) => {
              // Whom nobody here can name stays mentioned: his name can't be looked for in the words.
              const unnamed = remark.mentions.filter((id) => !draft.mentions.has(id));
              await store.edit(thread.id, remark.id, { ...words, mentions: [...new Set([...words.mentions, ...unnamed])] });
              setDraft(null);
            }}
          />
        ) : (
          <p className="remark__body">
            {segments(remark.body, [...mentioned.values()]).map((part, number) =>
              part.mention ? <mark key={number}>{part.text}</mark> : <span key={number}>{part.text}</span>,
            )}
          </p>
        )}
      </div>
      {!draft && (
        <span className="remark__tools">
          {mine && may.comment && (
            <button type="button" className="remark__tool" aria-label="Change this comment" title="Change" onClick={() => setDraft(newDraft(remark.body, mentioned))}>
              <PenIcon />
            </button>
          )}
          {mayRemove(remark, me, may) && !props.alone && (
            <button
              type="button"
              className="remark__tool"
              aria-label="Remove this comment"
              title="Remove"
              onClick={() => void props.attempt(store.remove(thread.id, remark.id))}
            >
              <TrashIcon />
            </button>
          )}
        </span>
      )}
    </li>
  );
}
