/** One room in a list. */
import { memo, type ReactNode } from "react";
import type { Person, Room } from "../api/types";
import { isPlainClick, roomPath } from "../app/router";
import { ago, daysLeft } from "../app/time";
import { Avatar } from "../ui/Avatar";
import { Doodle } from "../ui/Doodle";
import { can } from "../share/roles";
import { RoleBadge } from "../share/RoleBadge";
import { GlobeIcon, LinkIcon, LockIcon, MoreIcon, PenIcon, PeopleIcon, RestoreIcon, TrashIcon } from "../ui/icons";
import { Menu, type MenuEntry } from "../ui/Menu";

const FACES = 3;

export function RoomSkeleton(): ReactNode {
  return (
    <li className="card card--skeleton" aria-hidden="true">
      <div className="card__picture" />
      <div className="card__body">
        <span className="bone bone--title" />
        <span className="bone" />
      </div>
    </li>
  );
}

function WhoIsIn({ room }: { room: Room }): ReactNode {
  if (room.participant_count === 0) return <span className="card__quiet">nobody in</span>;
  const names = room.participants.map((person) => person.name).join(", ");
  return (
    <span className="card__people" title={names}>
      <span className="faces">
        {room.participants.slice(0, FACES).map((person) => (
          <Avatar key={person.id} id={person.id} name={person.name} size={24} />
        ))}
      </span>
      <span className="card__live">
        {room.participant_count === 1 ? "1 person" : `${room.participant_count} people`} here now
        <span className="only-read">: {names}</span>
      </span>
    </span>
  );
}

export const RoomCard = memo(function RoomCard(props: {
  room: Room;
  me: Person;
  now: number;
  trashed: boolean;
  onOpen: (room: Room) => void;
  onCopyLink: (room: Room) => void;
  onShare: (room: Room) => void;
  onRename: (room: Room) => void;
  onDelete: (room: Room) => void;
  onToggleVisibility: (room: Room) => void;
  onRestore: (room: Room) => void;
}): ReactNode {
  const { room, me, now, trashed } = props;
  const by = room.creator.id === me.id ? "by you" : `by ${room.creator.name}`;
  const entries: MenuEntry[] = [
    { label: "Copy link", icon: <LinkIcon />, run: () => props.onCopyLink(room) },
    { label: can(room, "share") ? "Share…" : "People…", icon: <PeopleIcon />, run: () => props.onShare(room) },
  ];
  if (can(room, "rename")) entries.push({ label: "Rename", icon: <PenIcon />, run: () => props.onRename(room) });
  if (can(room, "share")) {
    entries.push(
      room.visibility === "public"
        ? { label: "Make unlisted", icon: <LockIcon />, run: () => props.onToggleVisibility(room) }
        : { label: "Make public", icon: <GlobeIcon />, run: () => props.onToggleVisibility(room) },
    );
  }
  if (can(room, "delete")) {
    entries.push({ label: "Delete", icon: <TrashIcon />, danger: true, separated: true, run: () => props.onDelete(room) });
  }

  return (
    <li className={trashed ? "card card--trashed" : "card"} data-testid="room-card" data-room={room.id}>
      <div className="card__picture">
        <Doodle seed={room.id} />
        {room.visibility === "public" && !trashed && (
          <span className="tag">
            <GlobeIcon /> Public
          </span>
        )}
      </div>
      <div className="card__body">
        <h3 className="card__title">
          {trashed ? (
            room.title
          ) : (
            <a
              href={roomPath(room.id)}
              onClick={(event) => {
                if (!isPlainClick(event)) return;
                event.preventDefault();
                props.onOpen(room);
              }}
            >
              {room.title}
            </a>
          )}
        </h3>
        <div className="card__line">
          <p className="card__meta">
            {trashed && room.deleted_at ? (
              <>deleted {ago(room.deleted_at, now)}</>
            ) : (
              <>
                {by} · <time dateTime={room.created_at}>{ago(room.created_at, now)}</time>
              </>
            )}
          </p>
          {room.role && !trashed && <RoleBadge role={room.role} />}
        </div>
        <div className="card__foot">
          {trashed ? <span className="card__quiet">{room.purge_at ? daysLeft(room.purge_at, now) : ""}</span> : <WhoIsIn room={room} />}
          {trashed ? (
            <button type="button" className="button card__restore" onClick={() => props.onRestore(room)}>
              <RestoreIcon />
              Restore<span className="only-read"> {room.title}</span>
            </button>
          ) : (
            <Menu className="card__menu" label={`More about ${room.title}`} trigger={<MoreIcon />} entries={entries} />
          )}
        </div>
      </div>
    </li>
  );
});
