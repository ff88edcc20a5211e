/** What the room's address alone opens, and to whom: its owner decides, everybody copies it. */
import { useId, useState, type ReactNode } from "react";
import type { RoomChange } from "../api/client";
import type { DefaultRole, Room } from "../api/types";
import { copyText } from "../app/clipboard";
import { useApi } from "../app/context";
import { roomLink } from "../app/router";
import { useWork } from "../app/work";
import { CheckIcon, LinkIcon } from "../ui/icons";
import { addressWords, can, EVERYBODY } from "./roles";

export function AddressSection({ room, onRoom }: { room: Room; onRoom: (room: Room) => void }): ReactNode {
  const api = useApi();
  const work = useWork();
  const [copied, setCopied] = useState<boolean | null>(null);
  const headId = useId();
  const link = roomLink(room.id);
  const change = (what: RoomChange) => void work.run(async () => onRoom(await api.changeRoom(room.id, what)));

  return (
    <section className="share__part" aria-labelledby={headId}>
      <h3 id={headId}>The room’s address</h3>
      <div className="share__address">
        <input className="input" readOnly aria-label="The room’s address" value={link} onFocus={(event) => event.target.select()} />
        <button type="button" className="button" data-autofocus onClick={() => void copyText(link).then(setCopied)}>
          {copied ? <CheckIcon /> : <LinkIcon />}
          {copied ? "Copied" : "Copy"}
        </button>
      </div>
      {copied === false && (
        <p className="field__problem" role="alert">
          It could not be copied: select it and copy it by hand.
        </p>
      )}
      {can(room, "share") ? (
        <>
          <label className="share__everybody">
            <span>Whoever has it</span>
            <select
              className="select"
              value={room.default_role ?? "editor"}
              disabled={work.busy}
              onChange={(event) => change({ default_role: event.target.value as DefaultRole })}
            >
              {EVERYBODY.map((option) => (
                <option key={option.value} value={option.value}>
                  {option.label}
                </option>
              ))}
            </select>
          </label>
          <label className="check">
            <input
              type="checkbox"
              checked={room.visibility === "public"}
              disabled={work.busy}
              onChange={(event) => change({ visibility: event.target.checked ? "public" : "unlisted" })}
            />
            <span>List it in the lobby for everybody on this server</span>
          </label>
          <label className="check">
            <input
              type="checkbox"
              checked={room.shows_viewers ?? true}
              disabled={work.busy}
              onChange={(event) => change({ shows_viewers: event.target.checked })}
            />
            <span>Show who only looks: their names and cursors</span>
          </label>
          <p className="field__problem" role="alert">
            {work.problem}
          </p>
        </>
      ) : (
        <p className="share__note">{addressWords(room)}</p>
      )}
    </section>
  );
}
