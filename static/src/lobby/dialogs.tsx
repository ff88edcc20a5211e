/** The lobby's questions: a new room, another name, really delete. */
import { useId, useState, type FormEvent, type ReactNode } from "react";
import { randomKey } from "../api/client";
import { wordsFor } from "../api/errors";
import type { Room, Visibility } from "../api/types";
import { useApi } from "../app/context";
import { Dialog } from "../ui/Dialog";
import { GlobeIcon, LockIcon } from "../ui/icons";
import { checkTitle, TITLE_MAX } from "./titles";

function useSubmit(work: () => Promise<void>): { busy: boolean; problem: string | null; submit: (event: FormEvent) => void; refuse: (why: string) => void } {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  return {
    busy,
    problem,
    refuse: setProblem,
    submit: (event) => {
      event.preventDefault();
      if (busy) return;
      setBusy(true);
      setProblem(null);
      work().catch((error: unknown) => {
        const words = wordsFor(error);
        setProblem(`${words.title}. ${words.detail}`);
        setBusy(false);
      });
    },
  };
}

function Problem({ id, children }: { id: string; children: string | null }): ReactNode {
  return (
    <p id={id} className="field__problem" role="alert">
      {children}
    </p>
  );
}

const VISIBILITIES: readonly { value: Visibility; label: string; detail: string; icon: ReactNode }[] = [
  { value: "unlisted", label: "Unlisted", detail: "Only people with the link find it.", icon: <LockIcon /> },
  { value: "public", label: "Public", detail: "Everybody on this server finds it in the lobby.", icon: <GlobeIcon /> },
];

export function NewRoomDialog(props: { suggestion: string; onClose: () => void; onDone: (room: Room) => void }): ReactNode {
  const api = useApi();
  const [title, setTitle] = useState(props.suggestion);
  const [visibility, setVisibility] = useState<Visibility>("unlisted");
  // One key for the life of the dialog: pressing twice, or again after a lost answer, makes one room.
  const [key] = useState(randomKey);
  const problemId = useId();
  const form = useSubmit(async () => {
    const checked = checkTitle(title);
    if (!checked.ok) throw new Error(checked.reason);
    props.onDone(await api.createRoom({ title: checked.title || "Untitled", visibility }, key));
  });
  return (
    <Dialog title="New room" onClose={props.onClose}>
      <form onSubmit={form.submit} noValidate>
        <label className="field">
          <span className="field__label">Name</span>
          <input
            data-autofocus
            className="input"
            name="title"
            placeholder="Untitled"
            autoComplete="off"
            maxLength={TITLE_MAX}
            value={title}
            aria-invalid={form.problem !== null}
            aria-describedby={problemId}
            onChange={(event) => setTitle(event.target.value)}
          />
        </label>
        <fieldset className="choices">
          <legend className="field__label">Who finds it</legend>
          {VISIBILITIES.map((option) => (
            <label key={option.value} className="choice">
              <input
                type="radio"
                name="visibility"
                value={option.value}
                checked={visibility === option.value}
                onChange={() => setVisibility(option.value)}
              />
              {option.icon}
              <span>
                <strong>{option.label}</strong>
                <small>{option.detail}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <Problem id={problemId}>{form.problem}</Problem>
        <div className="dialog__actions">
          <button type="button" className="button button--quiet" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" className="button button--primary" disabled={form.busy}>
            {form.busy ? "Making it…" : "Make the room"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function RenameRoomDialog(props: { room: Room; onClose: () => void; onDone: (room: Room) => void }): ReactNode {
  const api = useApi();
  const [title, setTitle] = useState(props.room.title);
  const problemId = useId();
  const form = useSubmit(async () => {
    const checked = checkTitle(title);
    if (!checked.ok) throw new Error(checked.reason);
    props.onDone(await api.changeRoom(props.room.id, { title: checked.title || "Untitled" }));
  });
  return (
    <Dialog title="Rename the room" onClose={props.onClose}>
      <form onSubmit={form.submit} noValidate>
        <label className="field">
          <span className="field__label">Name</span>
          <input
            data-autofocus
            className="input"
            name="title"
            autoComplete="off"
            maxLength={TITLE_MAX}
            value={title}
            aria-invalid={form.problem !== null}
            aria-describedby={problemId}
            onFocus={(event) => event.target.select()}
            onChange={(event) => setTitle(event.target.value)}
          />
        </label>
        <Problem id={problemId}>{form.problem}</Problem>
        <div className="dialog__actions">
          <button type="button" className="button button--quiet" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" className="button button--primary" disabled={form.busy}>
            {form.busy ? "Renaming…" : "Rename"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function DeleteRoomDialog(props: { room: Room; onClose: () => void; onDelete: (room: Room) => Promise<void> }): ReactNode {
  const problemId = useId();
  const form = useSubmit(() => props.onDelete(props.room));
  const others = props.room.participant_count;
  return (
    <Dialog title={`Delete “${props.room.title}”?`} onClose={props.onClose}>
      <form onSubmit={form.submit}>
        <p>
          It goes to the trash and can be restored for 30 days.
          {others > 0 && ` ${others === 1 ? "One person is" : `${others} people are`} in it now and will have to leave.`}
        </p>
        <Problem id={problemId}>{form.problem}</Problem>
        <div className="dialog__actions">
          <button type="button" className="button button--quiet" data-autofocus onClick={props.onClose}>
            Keep it
          </button>
          <button type="submit" className="button button--danger" disabled={form.busy}>
            {form.busy ? "Deleting…" : "Delete"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
