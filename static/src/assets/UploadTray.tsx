/** What is on its way to the server: one line for all, and one for each; cancel, try again, take off the list. */
import { useId, useState, useSyncExternalStore, type ReactNode } from "react";
import { CloseIcon, FileIcon, FilmIcon, RetryIcon, FilesIcon, MoreIcon } from "../ui/icons";
import { isVideo } from "./kinds";
import { isUnderWay, phaseWords, share, summary } from "./progress";
import type { Uploads, UploadView } from "./uploads";

/** More lines than these are folded away at first. */
const FOLDED_FROM = 4;
/** There the lines would lie over what is being uploaded. */
const NARROW = "(max-width: 48rem)";

export function UploadTray({ uploads }: { uploads: Uploads }): ReactNode {
  const list = useSyncExternalStore(uploads.subscribe, uploads.list);
  const [chosen, setChosen] = useState<boolean | null>(null);
  const listId = useId();
  if (list.length === 0) return null;
  const failed = list.some(({ state }) => state.phase === "failed");
  const open = chosen ?? (failed || (list.length < FOLDED_FROM && !window.matchMedia(NARROW).matches));
  const { words, share: done } = summary(list.map(({ state }) => state));
  return (
    <section className="tray" aria-label="Uploads" data-testid="upload-tray">
      <header className="tray__head">
        <span className="tray__words" role="status">
          {words}
        </span>
        {list.some(({ state }) => isUnderWay(state)) && <span className="tray__share">{Math.floor(done * 100)} %</span>}
        <button
          type="button"
          className="tray__button"
          aria-expanded={open}
          aria-controls={listId}
          aria-label={open ? "Hide the list" : "Show the list"}
          onClick={() => setChosen(!open)}
        >
          <MoreIcon />
        </button>
      </header>
      {!open && <Bar share={done} label="All uploads" />}
      {open && (
        <ul className="tray__list" id={listId}>
          {list.map((upload) => (
            <Row key={upload.sha256} upload={upload} uploads={uploads} />
          ))}
        </ul>
      )}
    </section>
  );
}

function Row({ upload, uploads }: { upload: UploadView; uploads: Uploads }): ReactNode {
  const { sha256, filename, state } = upload;
  const failed = state.phase === "failed";
  return (
    <li className={`tray__row tray__row--${state.phase}`} data-testid="upload" data-phase={state.phase}>
      <span className="tray__icon">{iconOf(upload)}</span>
      <span className="tray__about">
        <span className="tray__name" title={filename}>
          {filename}
        </span>
        <span className="tray__phase">{phaseWords(state)}</span>
      </span>
      {failed && (
        <button type="button" className="tray__button" aria-label={`Try ${filename} again`} title="Try again" onClick={() => uploads.again(sha256)}>
          <RetryIcon />
        </button>
      )}
      {(failed || isUnderWay(state)) && (
        <button
          type="button"
          className="tray__button"
          aria-label={failed ? `Take ${filename} off the list` : `Cancel ${filename}`}
          title={failed ? "Take off the list" : "Cancel"}
          onClick={() => (failed ? uploads.dismiss(sha256) : uploads.cancel(sha256))}
        >
          <CloseIcon />
        </button>
      )}
      {!failed && <Bar share={share(state)} label={filename} />}
    </li>
  );
}

export function Bar({ share: done, label }: { share: number; label: string }): ReactNode {
  return (
    <span className="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.floor(done * 100)}>
      <span className="bar__done" style={{ transform: `scaleX(${done})` }} />
    </span>
  );
}

export function iconOf({ kind, contentType }: { kind: string; contentType: string }): ReactNode {
  if (kind === "picture") return <FilesIcon />;
  return isVideo(contentType) ? <FilmIcon /> : <FileIcon />;
}
