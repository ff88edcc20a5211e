/** The room's members: who may do what; its owner changes that, everybody may leave. */
import { useId, useState, type ReactNode } from "react";
import type { Member } from "../api/sharing";
import type { GivenRole, Person, Room } from "../api/types";
import { useApi } from "../app/context";
import type { Pages } from "../app/pages";
import { useWork } from "../app/work";
import { Avatar } from "../ui/Avatar";
import { Confirm } from "../ui/Confirm";
import { CloseIcon } from "../ui/icons";
import { ListState } from "../ui/ListState";
import { addressWords, can, ROLE_DOES, ROLE_NAMES } from "./roles";
import { RoleSelect } from "./RoleSelect";
import { viaWords } from "./words";

interface Props {
  readonly room: Room;
  readonly me: Person;
  readonly list: Pages<Member>;
  /** Something changed: the room may be another one for me, too. */
  readonly onChanged: () => void;
  readonly onLeft: () => void;
}

export function PeopleSection(props: Props): ReactNode {
  const { list } = props;
  const headId = useId();
  return (
    <section className="share__part" aria-labelledby={headId}>
      <h3 id={headId}>People</h3>
      <ul className="share__list" data-testid="members">
        {list.items.map((member) => (
          <Row key={member.user.id} member={member} {...props} />
        ))}
      </ul>
      <ListState list={list} what="people" />
    </section>
  );
}

type Asked = "remove" | "leave" | "transfer";

function Row({ member, room, me, onChanged, onLeft }: Props & { member: Member }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const [asked, setAsked] = useState<Asked | null>(null);
  const { user, role } = member;
  const isMe = user.id === me.id;
  const owns = can(room, "share");
  const transfers = can(room, "transfer");

  const setRole = async (next: GivenRole) => {
    if (await work.run(() => sharing.setRole(room.id, user.id, next))) onChanged();
  };
  const answer = async (what: Asked) => {
    const done = await work.run(() => (what === "transfer" ? sharing.transfer(room.id, user.id) : sharing.removeMember(room.id, user.id)));
    if (!done) return;
    setAsked(null);
    if (what === "leave") onLeft();
    else onChanged();
  };
  const open = (room.default_role ?? "editor") === "none" ? "" : ` ${addressWords(room)}`;

  return (
    <li className="share__row" data-testid="member" data-user={user.id}>
      <Avatar id={user.id} name={user.name} size={36} />
      <span className="share__who">
        <strong>
          {user.name}
          {isMe && " (you)"}
        </strong>
        <small>{viaWords(member)}</small>
      </span>
      <span className="share__does">
        {owns && role !== "owner" && !isMe ? (
          <RoleSelect
            label={`Role of ${user.name}`}
            value={role}
            disabled={work.busy}
            onChange={(next) => void setRole(next)}
            {...(transfers ? { onOwner: () => setAsked("transfer") } : {})}
          />
        ) : (
          <span className="share__role">{ROLE_NAMES[role]}</span>
        )}
        {owns && role !== "owner" && !isMe && (
          <button type="button" className="button button--icon button--quiet" aria-label={`Remove ${user.name}`} title={`Remove ${user.name}`} onClick={() => setAsked("remove")}>
            <CloseIcon />
          </button>
        )}
        {isMe && role !== "owner" && (
          <button type="button" className="button button--quiet" onClick={() => setAsked("leave")}>
            Leave
          </button>
        )}
      </span>
      {asked === "remove" && (
        <Confirm yes="Remove" no="Keep" busy={work.busy} onNo={() => setAsked(null)} onYes={() => void answer("remove")}>
          Remove {user.name}? Their role ends at once.{open}
        </Confirm>
      )}
      {asked === "leave" && (
        <Confirm yes="Leave the room" no="Stay" busy={work.busy} onNo={() => setAsked(null)} onYes={() => void answer("leave")}>
          Leave “{room.title}”? Your role ends; what you drew stays.{open}
        </Confirm>
      )}
      {asked === "transfer" && (
        <Confirm yes="Make owner" busy={work.busy} onNo={() => setAsked(null)} onYes={() => void answer("transfer")}>
          Make {user.name} the owner? They may {ROLE_DOES.owner}, you become an editor. Only they can give it back.
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
