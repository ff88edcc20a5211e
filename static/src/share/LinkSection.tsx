/** Links that give a role to whoever opens them: make, copy once, revoke. */
import { useId, useState, type FormEvent, type ReactNode } from "react";
import type { MadeLink, NewLink, ShareLink } from "../api/sharing";
import type { GivenRole, Room } from "../api/types";
import { useApi } from "../app/context";
import type { Pages } from "../app/pages";
import { useWork } from "../app/work";
import { Confirm } from "../ui/Confirm";
import { LinkIcon, PlusIcon } from "../ui/icons";
import { ListState } from "../ui/ListState";
import { Secret } from "../ui/Secret";
import { ROLE_DOES } from "./roles";
import { RoleSelect } from "./RoleSelect";
import { endAfter, LEAST_PASSWORD, LINK_TERMS, linkWords } from "./words";

const MOST_USES = 1_000_000;

export function LinkSection(props: { room: Room; list: Pages<ShareLink>; onChanged: () => void }): ReactNode {
  const { room, list, onChanged } = props;
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<MadeLink | null>(null);
  const headId = useId();
  return (
    <section className="share__part" aria-labelledby={headId}>
      <h3 id={headId}>Links</h3>
      <p className="share__note">A link gives its role to whoever opens it, until you revoke it.</p>
      <ul className="share__list" data-testid="links">
        {list.items.map((link) => (
          <Row
            key={link.id}
            room={room}
            link={link}
            onRevoked={() => {
              // Nobody is to copy what opens nothing.
              if (made?.id === link.id) setMade(null);
              onChanged();
            }}
          />
        ))}
      </ul>
      <ListState list={list} what="links" />
      {made && (
        <Secret label="The new link" value={made.url} testId="new-link">
          Copy it now: it is not shown again.
        </Secret>
      )}
      {making ? (
        <LinkForm
          room={room}
          onClose={() => setMaking(false)}
          onDone={(link) => {
            setMade(link);
            setMaking(false);
            onChanged();
          }}
        />
      ) : (
        <button type="button" className="button" onClick={() => setMaking(true)}>
          <PlusIcon />
          Make a link
        </button>
      )}
    </section>
  );
}

function LinkForm(props: { room: Room; onClose: () => void; onDone: (link: MadeLink) => void }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const [role, setRole] = useState<GivenRole>("viewer");
  const [label, setLabel] = useState("");
  const [days, setDays] = useState(7);
  const [uses, setUses] = useState("");
  const [password, setPassword] = useState("");
  const problemId = useId();

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const most = uses.trim() === "" ? null : Number(uses);
    if (most !== null && (!Number.isInteger(most) || most < 1 || most > MOST_USES)) {
      work.refuse(`A link can be used from once to ${MOST_USES.toLocaleString("en")} times.`);
      return;
    }
    if (password !== "" && [...password].length < LEAST_PASSWORD) {
      work.refuse(`A password has ${LEAST_PASSWORD} characters or more.`);
      return;
    }
    const end = endAfter(days, Date.now());
    const link: NewLink = {
      role,
      ...(label.trim() ? { label: label.trim() } : {}),
      ...(end === undefined ? {} : { expires_at: end }),
      ...(most === null ? {} : { max_uses: most }),
      ...(password ? { password } : {}),
    };
    void work.run(async () => props.onDone(await sharing.makeLink(props.room.id, link)));
  };

  return (
    <form className="share__form share__link-form" aria-label="A new link" onSubmit={submit} noValidate>
      <label className="field">
        <span className="field__label">What for (only you see it)</span>
        <input className="input" name="label" autoComplete="off" maxLength={80} placeholder="For the review" value={label} onChange={(event) => setLabel(event.target.value)} />
      </label>
      <div className="share__fields">
        <label className="field">
          <span className="field__label">Role</span>
          <RoleSelect label="Role of the link" value={role} onChange={setRole} />
        </label>
        <label className="field">
          <span className="field__label">Ends</span>
          <select className="select" value={days} onChange={(event) => setDays(Number(event.target.value))}>
            {LINK_TERMS.map((term) => (
              <option key={term.days} value={term.days}>
                {term.label}
              </option>
            ))}
          </select>
        </label>
        <label className="field">
          <span className="field__label">Uses</span>
          <input className="input" name="uses" inputMode="numeric" autoComplete="off" placeholder="any number" value={uses} onChange={(event) => setUses(event.target.value)} />
        </label>
        <label className="field">
          <span className="field__label">Password</span>
          <input className="input" name="link-password" type="text" autoComplete="off" spellCheck={false} maxLength={200} placeholder="none" value={password} onChange={(event) => setPassword(event.target.value)} />
        </label>
      </div>
      <p id={problemId} className="field__problem" role="alert">
        {work.problem}
      </p>
      <div className="dialog__actions">
        <button type="button" className="button button--quiet" onClick={props.onClose}>
          Cancel
        </button>
        <button type="submit" className="button button--primary" disabled={work.busy} aria-describedby={problemId}>
          {work.busy ? "Making it…" : "Make the link"}
        </button>
      </div>
    </form>
  );
}

function Row({ room, link, onRevoked }: { room: Room; link: ShareLink; onRevoked: () => void }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const [asked, setAsked] = useState(false);
  const now = Date.now();
  const name = link.label || `Link to ${ROLE_DOES[link.role]}`;
  const revoke = async () => {
    if (await work.run(() => sharing.revoke(room.id, link.id))) onRevoked();
  };
  return (
    <li className={link.is_open ? "share__row" : "share__row share__row--spent"} data-testid="link">
      <span className="share__mark">
        <LinkIcon />
      </span>
      <span className="share__who">
        <strong>{name}</strong>
        <small>
          may {ROLE_DOES[link.role]}; {linkWords(link, now)}
        </small>
      </span>
      <span className="share__does">
        <button type="button" className="button button--quiet" disabled={work.busy} onClick={() => setAsked(true)}>
          Revoke<span className="only-read"> {name}</span>
        </button>
      </span>
      {asked && (
        <Confirm yes="Revoke" no="Keep" busy={work.busy} onNo={() => setAsked(false)} onYes={() => void revoke()}>
          Revoke this link? It opens nothing any more, and who came by it loses the role at once.
        </Confirm>
      )}
      {work.problem !== null && (
        <p className="field__problem share__problem" role="alert">
          {work.problem}
        </p>
      )}
    </li>
  );
}
