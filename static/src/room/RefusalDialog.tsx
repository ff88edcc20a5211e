/** The server takes nothing more for this room: what became of it, and what to do with the copy in this browser. */
import { useState, type ReactNode } from "react";
import { wordsFor } from "../api/errors";
import { Dialog } from "../ui/Dialog";
import { CopyIcon, DownloadIcon } from "../ui/icons";
import { refusalWords, type Refusal } from "./words";

export function RefusalDialog(props: {
  refusal: Refusal;
  elements: number;
  onDownload: () => Promise<void>;
  onCopy: () => Promise<void>;
  onDiscard: (reopen: boolean) => Promise<void>;
  onSignIn: () => void;
}): ReactNode {
  const words = refusalWords(props.refusal);
  const ended = props.refusal.code === 4401;
  const [busy, setBusy] = useState(false);
  const [safe, setSafe] = useState(props.elements === 0);
  const [note, setNote] = useState<string | null>(null);
  const run = (work: () => Promise<void>, done?: string) => () => {
    setBusy(true);
    setNote(null);
    work().then(
      () => {
        setBusy(false);
        if (done) {
          setSafe(true);
          setNote(done);
        }
      },
      (error: unknown) => {
        setBusy(false);
        const told = wordsFor(error);
        setNote(`${told.title}. ${told.detail}`);
      },
    );
  };
  return (
    <Dialog title={words.title} onClose={() => undefined} required wide>
      <p>{words.detail}</p>
      {props.elements > 0 && (
        <>
          <p className="refusal__copy">The drawing as this browser has it, your last changes included, is still here. Keep it:</p>
          <div className="refusal__keep">
            <button type="button" className="button button--primary" data-autofocus disabled={busy} onClick={run(props.onDownload, "Downloaded.")}>
              <DownloadIcon />
              Download it
            </button>
            {!ended && (
              <button type="button" className="button" disabled={busy} onClick={run(props.onCopy)}>
                <CopyIcon />
                Copy it into a new room
              </button>
            )}
          </div>
        </>
      )}
      <p className="refusal__note" role="status">
        {note}
      </p>
      <div className="dialog__actions refusal__end">
        {ended && (
          <button type="button" className="button" disabled={busy} onClick={props.onSignIn}>
            Sign in again
          </button>
        )}
        {words.reopen && (
          <button type="button" className={safe ? "button button--primary" : "button"} disabled={busy} onClick={run(() => props.onDiscard(true))}>
            {safe ? "Open the room again" : "Drop my copy, open the room again"}
          </button>
        )}
        {!ended && (
          <button type="button" className="button button--quiet" disabled={busy} onClick={run(() => props.onDiscard(false))}>
            {safe ? "Go to the lobby" : "Drop my copy, go to the lobby"}
          </button>
        )}
      </div>
    </Dialog>
  );
}
