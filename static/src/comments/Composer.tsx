/**
 * Where a comment is written: plain text, with names completed after an `@`.
 *
 * Owns: changing a draft until it is taken. Does not own: keeping it (drafts.ts). Ctrl+Enter sends, Escape leaves.
 */
import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import type { Words } from "../api/comments";
import { randomKey } from "../api/client";
import { wordsFor } from "../api/errors";
import type { Person } from "../api/types";
import { Avatar } from "../ui/Avatar";
import { newDraft, type Draft } from "./drafts";
import { complete, mentionAt, mentionsIn } from "./threads";

const MAX = 4000;
const LOOK_MS = 120;
const MOST_SHOWN = 6;

export function Composer(props: {
  label: string;
  placeholder: string;
  submit: string;
  draft: Draft;
  focus?: boolean;
  people: (q: string) => Promise<readonly Person[]>;
  onSubmit: (words: Words, key: string) => Promise<unknown>;
  /** Away from here; what was written is kept unless the button said so. */
  onCancel?: () => void;
}): ReactNode {
  const { draft } = props;
  const [text, setShown] = useState(draft.text);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const [offered, setOffered] = useState<{ start: number; people: readonly Person[] } | null>(null);
  const [active, setActive] = useState(0);
  const field = useRef<HTMLTextAreaElement>(null);
  const looking = useRef(0);
  const caretAfter = useRef<number | null>(null);
  const id = useId();
  const { focus, people } = props;

  const setText = (next: string) => {
    draft.text = next;
    setShown(next);
  };
  const empty = () => {
    Object.assign(draft, newDraft());
    setShown("");
  };

  useEffect(() => {
    const element = field.current;
    if (!focus || !element) return;
    element.focus({ preventScroll: true });
    // One goes on behind what is written already.
    element.setSelectionRange(element.value.length, element.value.length);
  }, [focus]);

  useEffect(() => {
    const element = field.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(element.scrollHeight + 2, 220)}px`;
    if (caretAfter.current !== null) element.setSelectionRange(caretAfter.current, caretAfter.current);
    caretAfter.current = null;
  }, [text]);

  useEffect(() => () => clearTimeout(looking.current), []);

  const look = () => {
    const element = field.current;
    clearTimeout(looking.current);
    const wanted = element && mentionAt(element.value, element.selectionStart);
    if (!wanted) {
      setOffered(null);
      return;
    }
    const before = element.value.slice(0, wanted.start);
    looking.current = window.setTimeout(() => {
      people(wanted.query).then(
        (found) => {
          // Another letter came meanwhile.
          if (field.current?.value.slice(0, wanted.start) !== before || mentionAt(field.current.value, field.current.selectionStart)?.query !== wanted.query) return;
          setOffered(found.length > 0 ? { start: wanted.start, people: found.slice(0, MOST_SHOWN) } : null);
          setActive(0);
        },
        // Names are a help: without them one writes on.
        () => setOffered(null),
      );
    }, LOOK_MS);
  };

  const choose = (person: Person) => {
    const element = field.current;
    if (!element || !offered) return;
    const done = complete(element.value, offered.start, element.selectionStart, person.name);
    draft.mentions.set(person.id, person.name);
    caretAfter.current = done.caret;
    setText(done.text);
    setOffered(null);
    element.focus();
  };

  const send = async () => {
    const body = text.trim();
    if (!body || busy) return;
    const words: Words = { body, mentions: mentionsIn(body, draft.mentions) };
    const written = JSON.stringify(words);
    if (draft.sent?.words !== written) draft.sent = { words: written, key: randomKey() };
    setBusy(true);
    setProblem("");
    try {
      await props.onSubmit(words, draft.sent.key);
      empty();
    } catch (error) {
      const { title, detail } = wordsFor(error);
      setProblem(detail || title);
    } finally {
      setBusy(false);
    }
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (offered) {
      const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
      const person = offered.people[active];
      if (step !== 0) {
        event.preventDefault();
        setActive((active + step + offered.people.length) % offered.people.length);
        return;
      }
      if ((event.key === "Enter" || event.key === "Tab") && person) {
        event.preventDefault();
        choose(person);
        return;
      }
      if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        setOffered(null);
        return;
      }
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void send();
    } else if (event.key === "Escape" && props.onCancel) {
      event.preventDefault();
      event.stopPropagation();
      props.onCancel();
    }
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <textarea
        ref={field}
        className="input composer__field"
        rows={2}
        maxLength={MAX}
        // What is written now would go when the answer comes.
        readOnly={busy}
        aria-label={props.label}
        placeholder={props.placeholder}
        value={text}
        role="combobox"
        aria-autocomplete="list"
        aria-expanded={offered !== null}
        aria-controls={`${id}-names`}
        aria-activedescendant={offered ? `${id}-${active}` : undefined}
        aria-invalid={problem !== ""}
        aria-describedby={`${id}-problem`}
        onChange={(event) => {
          setText(event.target.value);
          look();
        }}
        onClick={look}
        onBlur={() => setOffered(null)}
        onKeyDown={onKeyDown}
        data-testid="composer"
      />
      <ul className="composer__names" id={`${id}-names`} role="listbox" aria-label="People to mention" hidden={offered === null}>
        {offered?.people.map((person, number) => (
          <li
            key={person.id}
            id={`${id}-${number}`}
            role="option"
            aria-selected={number === active}
            // Before the field loses the focus.
            onPointerDown={(event) => {
              event.preventDefault();
              choose(person);
            }}
          >
            <Avatar id={person.id} name={person.name} size={24} />
            <span>{person.name}</span>
          </li>
        ))}
      </ul>
      <p className="composer__problem" id={`${id}-problem`} role="alert" hidden={problem === ""}>
        {problem}
      </p>
      <div className="composer__foot">
        {props.onCancel && (
          <button
            type="button"
            className="button button--quiet"
            onClick={() => {
              empty();
              props.onCancel?.();
            }}
          >
            Cancel
          </button>
        )}
        <button type="submit" className="button button--primary" disabled={busy || text.trim() === ""} title="Ctrl+Enter">
          {props.submit}
        </button>
      </div>
    </form>
  );
}
