/**
 * Who did what in this room, beside the canvas, for who may read its audit log.
 */
import "../styles/activity.css";
import { useCallback, useMemo, useState, type ReactNode } from "react";
import { exportPath, type AuditEntry } from "../api/audit";
import type { Api } from "../api/client";
import { usePages } from "../app/pages";
import { ago } from "../app/time";
import { Avatar } from "../ui/Avatar";
import { Drawer, DrawerProblem } from "../ui/Drawer";
import { DownloadIcon, LockIcon, RetryIcon } from "../ui/icons";
import { deedOf, NOUNS, refusalOf, whoOf } from "./words";

const PAGE = 30;

export function ActivityDrawer(props: { api: Api; room: string; myId: string; onClose: () => void }): ReactNode {
  const { api, room, myId, onClose } = props;
  const [noun, setNoun] = useState("");
  const list = usePages(
    useCallback(
      (cursor: string | null, signal: AbortSignal) => api.audit.list(room, { noun, cursor, limit: PAGE }, signal),
      [api, room, noun],
    ),
  );
  const names = useMemo(
    () => new Map([...list.items.flatMap(({ actor }) => (actor ? [[actor.id, actor.name] as const] : [])), [myId, "you"] as const]),
    [list.items, myId],
  );

  return (
    <Drawer title="Activity" closing="Close activity" testId="activity-drawer" onClose={onClose}>
      <div className="drawer__tools">
        <select className="select activity__filter" aria-label="Show" value={noun} data-autofocus onChange={(event) => setNoun(event.target.value)}>
          {NOUNS.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
        <button
          type="button"
          className="button button--icon button--quiet"
          aria-label="Look again"
          title="Look again"
          disabled={list.isLoading}
          onClick={list.reload}
        >
          <RetryIcon />
        </button>
        <a
          className="button button--icon button--quiet"
          href={exportPath(room, "csv")}
          download
          aria-label="Download all of it as a table"
          title="Download all of it as a table (CSV)"
        >
          <DownloadIcon />
        </a>
      </div>
      <div className="drawer__body" aria-busy={list.isLoading}>
        {list.stage === "loading" && (
          <p className="drawer__note" role="status">
            Looking…
          </p>
        )}
        {list.stage === "failed" && list.words && <DrawerProblem words={list.words} onRetry={list.reload} />}
        {list.stage === "ready" && list.items.length === 0 && (
          <div className="drawer__note" data-testid="activity-empty">
            <strong>{noun ? "Nothing of this kind" : "Nothing yet"}</strong>
            <span>Who changes this room, its people or its files, and who is refused, is written down here.</span>
          </div>
        )}
        {list.items.length > 0 && (
          <ul className="drawer__list">
            {list.items.map((entry) => (
              <Row key={entry.id} entry={entry} myId={myId} names={names} />
            ))}
          </ul>
        )}
        {list.hasMore && list.stage !== "failed" && (
          <button type="button" className="button drawer__more" disabled={list.isLoadingMore} onClick={list.more}>
            {list.isLoadingMore ? "Loading…" : "Show older activity"}
          </button>
        )}
      </div>
    </Drawer>
  );
}

function Row({ entry, myId, names }: { entry: AuditEntry; myId: string; names: ReadonlyMap<string, string> }): ReactNode {
  const refused = refusalOf(entry);
  const when = new Date(entry.at);
  return (
    <li className="activity" data-testid="activity" data-action={entry.action} data-result={entry.result}>
      <span className="activity__who" aria-hidden="true">
        {entry.actor ? <Avatar id={entry.actor.id} name={entry.actor.name} size={26} /> : <LockIcon />}
      </span>
      <span className="activity__what">
        <span className="activity__words">
          {refused && <span className="activity__refused">{refused}</span>} <strong>{whoOf(entry, myId)}</strong> {deedOf(entry, names)}
        </span>
        <span className="drawer__meta">
          <time dateTime={entry.at} title={when.toLocaleString()}>
            {ago(entry.at, Date.now())}
          </time>
          {entry.address ? ` · from ${entry.address}` : ""}
        </span>
      </span>
    </li>
  );
}
