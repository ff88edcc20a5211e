/** The operator's questions: who is in, for how long, really. */
import { useEffect, useId, useState, type FormEvent, type ReactNode } from "react";
import type { LiveRoom, Node, PersonInRoom } from "../api/admin";
import { wordsFor } from "../api/errors";
import { useApi } from "../app/context";
import { count } from "../app/time";
import { Avatar } from "../ui/Avatar";
import { Dialog } from "../ui/Dialog";
import { shortNode, TERMS } from "./words";

const EVERY_MS = 2_000;

export const nameOf = (room: LiveRoom) => room.title ?? room.id;

function Terms({ value, onChange }: { value: number; onChange: (seconds: number) => void }): ReactNode {
  return (
    <fieldset className="choices">
      <legend className="field__label">Keep out</legend>
      {TERMS.map((term) => (
        <label key={term.seconds} className="choice choice--plain">
          <input type="radio" name="term" checked={value === term.seconds} onChange={() => onChange(term.seconds)} />
          <span>{term.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Ask(props: {
  title: string;
  order: string;
  onClose: () => void;
  onOrder: () => Promise<void>;
  children: ReactNode;
}): ReactNode {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    props.onOrder().catch((error: unknown) => {
      const words = wordsFor(error);
      setProblem(`${words.title}. ${words.detail}`);
      setBusy(false);
    });
  };
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form onSubmit={submit}>
        {props.children}
        <p className="field__problem" role="alert">
          {problem}
        </p>
        <div className="dialog__actions">
          <button type="button" className="button button--quiet" data-autofocus onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" className="button button--danger" disabled={busy}>
            {props.order}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function CloseDialog(props: { room: LiveRoom; onClose: () => void; onOrder: (seconds: number) => Promise<void> }): ReactNode {
  const [seconds, setSeconds] = useState(0);
  return (
    <Ask title={`Close “${nameOf(props.room)}”?`} order="Send everybody out" onClose={props.onClose} onOrder={() => props.onOrder(seconds)}>
      <p>
        {count(props.room.people, "person is", "people are")} in it and will be sent out with a sentence. The drawing stays as it is, and its owner
        keeps it.
      </p>
      <Terms value={seconds} onChange={setSeconds} />
    </Ask>
  );
}

export function KickDialog(props: {
  room: LiveRoom;
  person: PersonInRoom;
  onClose: () => void;
  onOrder: (seconds: number) => Promise<void>;
}): ReactNode {
  const [seconds, setSeconds] = useState(0);
  return (
    <Ask title={`Send ${props.person.user.name} out?`} order="Send out" onClose={props.onClose} onOrder={() => props.onOrder(seconds)}>
      <p>
        Out of “{nameOf(props.room)}”, on every device. A guest can come back under another name; freeze or close the room to stop everybody.
      </p>
      <Terms value={seconds} onChange={setSeconds} />
    </Ask>
  );
}

export function DrainDialog(props: { node: Node; onClose: () => void; onOrder: () => Promise<void> }): ReactNode {
  return (
    <Ask title={`Drain ${shortNode(props.node.node)} on ${props.node.host}?`} order="Drain it" onClose={props.onClose} onOrder={props.onOrder}>
      <p>
        The process takes no new traffic, sends {count(props.node.connections, "connection", "connections")} on to the other nodes, saves, and ends.
        Whoever runs it decides whether it starts again.
      </p>
    </Ask>
  );
}

export function PeopleDialog(props: { token: string; room: LiveRoom; onClose: () => void; onKick: (person: PersonInRoom) => void }): ReactNode {
  const api = useApi();
  const { token, room } = props;
  const [people, setPeople] = useState<readonly PersonInRoom[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const listId = useId();
  useEffect(() => {
    const stop = new AbortController();
    const look = () =>
      api.admin.people(token, room.id, stop.signal).then(
        (found) => {
          setPeople(found);
          setProblem(null);
        },
        (error: unknown) => {
          if (!stop.signal.aborted) setProblem(wordsFor(error).detail);
        },
      );
    void look();
    const timer = setInterval(() => void look(), EVERY_MS);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [api, token, room.id]);
  return (
    <Dialog title={`In “${nameOf(room)}”`} onClose={props.onClose} wide>
      {problem !== null && (
        <p className="field__problem" role="alert">
          {problem}
        </p>
      )}
      {people === null && problem === null && <p role="status">Looking…</p>}
      {people !== null && people.length === 0 && <p>Nobody is in it now.</p>}
      {people !== null && people.length > 0 && (
        <ul className="inmates" id={listId} aria-label="People in the room" data-testid="inmates">
          {people.map((person) => (
            <li key={`${person.node}/${person.user.id}`} className="inmates__one">
              <Avatar id={person.user.id} name={person.user.name} size={36} />
              <span className="inmates__who">
                <strong>{person.user.name}</strong>
                <small>
                  {person.role}, {count(person.connections, "connection", "connections")} to {shortNode(person.node)}
                </small>
                <code>{person.user.id}</code>
              </span>
              <button type="button" className="button" onClick={() => props.onKick(person)}>
                Send out<span className="only-read"> {person.user.name}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}
