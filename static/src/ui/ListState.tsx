/** What stands below a list that is read page by page: loading, failed, more of it. */
import type { ReactNode } from "react";
import type { Pages } from "../app/pages";

export function ListState({ list, what }: { list: Pages<unknown>; what: string }): ReactNode {
  if (list.stage === "loading") return <p className="list__note" role="status">Loading {what}…</p>;
  if (list.stage === "failed") {
    return (
      <p className="list__note list__note--bad" role="alert">
        <span>
          {list.words?.title}. {list.words?.detail}
        </span>
        <button type="button" className="button button--quiet" onClick={list.reload}>
          Try again
        </button>
      </p>
    );
  }
  if (!list.hasMore) return null;
  return (
    <button type="button" className="button button--quiet list__more" aria-disabled={list.isLoadingMore} onClick={list.more}>
      {list.isLoadingMore ? "Loading…" : `Show more ${what}`}
    </button>
  );
}
