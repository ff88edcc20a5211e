/** Where I am signed in, and ending it there. */
import { useCallback, useId, useState, type ReactNode } from "react";
import type { SignedInSession } from "../api/account";
import { useApi } from "../app/context";
import { usePages } from "../app/pages";
import { useWork } from "../app/work";
import { Confirm } from "../ui/Confirm";
import { ListState } from "../ui/ListState";
import { deviceWords, sessionWords } from "./words";

export function Sessions({ onLeave }: { onLeave: () => void }): ReactNode {
  const { account } = useApi();
  const list = usePages(useCallback((cursor: string | null, signal: AbortSignal) => account.sessions(cursor, signal), [account]));
  const headId = useId();
  return (
    <section className="panel" aria-labelledby={headId}>
      <h2 id={headId}>Where you are signed in</h2>
      <ul className="panel__list" data-testid="sessions">
        {list.items.map((session) => (
          <Row key={session.id} session={session} onEnded={list.reload} onLeave={onLeave} />
        ))}
      </ul>
      <ListState list={list} what="sessions" />
    </section>
  );
}

function Row(props: { session: SignedInSession; onEnded: () => void; onLeave: () => void }): ReactNode {
  const { session } = props;
  const { account } = useApi();
  const work = useWork();
  const [asked, setAsked] = useState(false);
  const device = deviceWords(session.user_agent);
  const end = async () => {
    if (await work.run(() => account.endSession(session.id))) props.onEnded();
  };
  return (
    <li className="panel__row" data-testid="session">
      <span className="panel__what">
        <strong>
          {device}
          {session.is_this && <em className="panel__mark">this browser</em>}
        </strong>
        <small>{sessionWords(session, Date.now())}</small>
      </span>
      {session.is_this ? (
        <button type="button" className="button button--quiet" onClick={props.onLeave}>
          Sign out
        </button>
      ) : (
        <button type="button" className="button button--quiet" disabled={work.busy} onClick={() => setAsked(true)}>
          Sign out<span className="only-read"> {device}</span>
        </button>
      )}
      {asked && (
        <Confirm yes="Sign out there" no="Keep" busy={work.busy} onNo={() => setAsked(false)} onYes={() => void end()}>
          Sign out {device}? Rooms that are open there close at once.
        </Confirm>
      )}
      {work.problem !== null && (
        <p className="field__problem" role="alert">
          {work.problem}
        </p>
      )}
    </li>
  );
}
