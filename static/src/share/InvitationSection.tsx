/** Asking people in, and those who were asked and have not answered. */
import { useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import type { Invitation } from "../api/sharing";
import type { GivenRole, Room } from "../api/types";
import { useApi } from "../app/context";
import type { Pages } from "../app/pages";
import { ahead } from "../app/time";
import { useWork } from "../app/work";
import { ListState } from "../ui/ListState";
import { ROLE_DOES } from "./roles";
import { RoleSelect } from "./RoleSelect";
import { readInvitee } from "./words";

export function InvitationSection(props: { room: Room; list: Pages<Invitation>; onChanged: () => void }): ReactNode {
  const { room, list, onChanged } = props;
  const headId = useId();
  const openId = useId();
  return (
    <section className="share__part" aria-labelledby={headId}>
      <h3 id={headId}>Invite somebody</h3>
      <InviteForm room={room} onDone={onChanged} />
      {(list.items.length > 0 || list.stage !== "ready") && (
        <>
          <h4 id={openId}>Waiting for an answer</h4>
          <ul className="share__list" aria-labelledby={openId} data-testid="invitations">
            {list.items.map((invitation) => (
              <Row key={invitation.id} room={room} invitation={invitation} onChanged={onChanged} />
            ))}
          </ul>
          <ListState list={list} what="invitations" />
        </>
      )}
    </section>
  );
}

function InviteForm({ room, onDone }: { room: Room; onDone: () => void }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const [who, setWho] = useState("");
  const [role, setRole] = useState<GivenRole>("editor");
  const [message, setMessage] = useState("");
  const [done, setDone] = useState<string | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const problemId = useId();

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setDone(null);
    const checked = readInvitee(who, message.trim());
    if (!checked.ok) {
      work.refuse(checked.reason);
      field.current?.focus();
      return;
    }
    if (!(await work.run(() => sharing.invite(room.id, checked.invitee, role, message.trim())))) return;
    setDone(`${who.trim()} is invited.`);
    setWho("");
    setMessage("");
    field.current?.focus();
    onDone();
  };

  return (
    <form className="share__form" onSubmit={(event) => void submit(event)} noValidate>
      <div className="share__invite">
        <input
          ref={field}
          className="input"
          name="invitee"
          aria-label="E-mail address or user id"
          placeholder="E-mail or user id"
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          value={who}
          aria-invalid={work.problem !== null}
          aria-describedby={problemId}
          onChange={(event) => setWho(event.target.value)}
        />
        <RoleSelect label="Role of whom you invite" value={role} onChange={setRole} />
        <button type="submit" className="button button--primary" disabled={work.busy}>
          {work.busy ? "Inviting…" : "Invite"}
        </button>
      </div>
      <details className="share__more">
        <summary>Add a few words to the mail</summary>
        <textarea
          className="input"
          aria-label="A few words to go with the mail"
          rows={3}
          maxLength={500}
          value={message}
          onChange={(event) => setMessage(event.target.value)}
        />
      </details>
      <p id={problemId} className={work.problem === null ? "share__done" : "field__problem"} role={work.problem === null ? "status" : "alert"}>
        {work.problem ?? done}
      </p>
    </form>
  );
}

function Row({ room, invitation, onChanged }: { room: Room; invitation: Invitation; onChanged: () => void }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const who = invitation.email ?? invitation.user_id ?? "Somebody";
  const withdraw = async () => {
    if (await work.run(() => sharing.withdraw(room.id, invitation.id))) onChanged();
  };
  return (
    <li className="share__row share__row--plain" data-testid="invitation">
      <span className="share__who">
        <strong>{who}</strong>
        <small>
          may {ROLE_DOES[invitation.role]}, ends {ahead(invitation.expires_at, Date.now())}
        </small>
      </span>
      <span className="share__does">
        <button type="button" className="button button--quiet" disabled={work.busy} onClick={() => void withdraw()}>
          Withdraw<span className="only-read"> the invitation of {who}</span>
        </button>
      </span>
      {work.problem !== null && (
        <p className="field__problem share__problem" role="alert">
          {work.problem}
        </p>
      )}
    </li>
  );
}
