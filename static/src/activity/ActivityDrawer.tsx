/**
 * Who did what in this room, beside the canvas, for who may read its audit log.
 *
 * Not modal, like the drawer of files, whose looks it shares. Escape closes it, and the focus goes back to the button
 * that opened it.
 */
import "../styles/assets.css";
import "../styles/activity.css";
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { exportPath, type AuditEntry } from "../api/audit";
import type { Api } from "../api/client";
import { ago } from "../app/time";
import { Avatar } from "../ui/Avatar";
import { CloseIcon, DownloadIcon, LockIcon, RetryIcon } from "../ui/icons";
import { useActivity } from "./useActivity";
import { deedOf, NOUNS, refusalOf, whoOf } from "./words";

export function ActivityDrawer(props: { api: Api; room: string; myId: string; onClose: () => void }): ReactNode {
  const { api, room, myId, onClose } = props;
  const titleId = useId();
  const panel = useRef<HTMLElement>(null);
  const opener = useRef<Element | null>(null);
  const [noun, setNoun] = useState("");
  const list = useActivity(api, room, noun);
  const names = useMemo(
    () => new Map([...list.items.flatMap(({ actor }) => (actor ? [[actor.id, actor.name] as const] : [])), [myId, "you"] as const]),
    [list.items, myId],
  );

  useEffect(() => {
    opener.current = document.activeElement;
    panel.current?.querySelector<HTMLElement>("[data-autofocus]")?.focus({ preventScroll: true });
    return () => {
      if (opener.current instanceof HTMLElement && opener.current.isConnected) opener.current.focus();
    };
  }, []);

  const onKeyDown = (event: KeyboardEvent) => {
    // The editor listens to every key of the page.
    event.stopPropagation();
    if (event.key === "Escape") onClose();
  };

  return (
    <aside className="drawer" ref={panel} aria-labelledby={titleId} onKeyDown={onKeyDown} data-testid="activity-drawer">
      <header className="drawer__head">
        <h2 id={titleId}>Activity</h2>
        <button type="button" className="button button--icon button--quiet" aria-label="Close activity" onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
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
          disabled={list.stage === "loading"}
          onClick={list.again}
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
      <div className="drawer__body" aria-busy={list.stage === "loading"}>
        {list.stage === "loading" && list.items.length === 0 && (
          <p className="drawer__note" role="status">
            Looking…
          </p>
        )}
        {list.stage === "failed" && list.words && (
          <div className="drawer__note" role="alert">
            <strong>{list.words.title}</strong>
            <span>{list.words.detail}</span>
            {list.words.retry && (
              <button type="button" className="button" onClick={list.again}>
                Try again
              </button>
            )}
          </div>
        )}
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
          <button type="button" className="button drawer__more" disabled={list.stage === "more"} onClick={list.more}>
            {list.stage === "more" ? "Loading…" : "Show older activity"}
          </button>
        )}
      </div>
    </aside>
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
