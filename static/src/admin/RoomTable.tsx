/** The live rooms: a table where there is room for one, cards on a phone; the same elements either way. */
import { memo, type ReactNode } from "react";
import type { LiveRoom } from "../api/admin";
import { roomPath } from "../app/router";
import { Menu, type MenuEntry } from "../ui/Menu";
import { CloseIcon, EyeIcon, LockIcon, MoreIcon, RestoreIcon } from "../ui/icons";
import { nameOf } from "./dialogs";
import { badges, rate, shortNode, size } from "./words";

export interface RoomOrders {
  readonly people: (room: LiveRoom) => void;
  readonly freeze: (room: LiveRoom) => void;
  readonly thaw: (room: LiveRoom) => void;
  readonly close: (room: LiveRoom) => void;
  readonly open: (room: LiveRoom) => void;
}

const COLUMNS = ["Room", "People", "Edits/s", "Drawing", "Journal", "Node"] as const;

// A table that is laid out as cards loses its meaning for screen readers in some browsers: hence the roles.
const Row = memo(function Row({ room, now, orders }: { room: LiveRoom; now: number; orders: RoomOrders }): ReactNode {
  const held = room.closed_until !== null || room.kept_out > 0;
  const entries: MenuEntry[] = [{ label: "Who is in", icon: <EyeIcon />, run: () => orders.people(room) }];
  if (room.frozen_at === null) entries.push({ label: "Freeze", icon: <LockIcon />, run: () => orders.freeze(room) });
  else entries.push({ label: "Thaw", icon: <RestoreIcon />, run: () => orders.thaw(room) });
  if (held) entries.push({ label: "Let everybody in", icon: <RestoreIcon />, run: () => orders.open(room) });
  entries.push({ label: "Close…", icon: <CloseIcon />, danger: true, separated: true, run: () => orders.close(room) });
  return (
    <tr role="row" className="live__row" data-testid="live-room" data-room={room.id}>
      <th role="rowheader" scope="row" className="live__room">
        <a href={roomPath(room.id)} target="_blank" rel="noopener">
          {nameOf(room)}
        </a>
        {room.title !== null && <code className="live__id">{room.id}</code>}
        <span className="live__badges">
          {badges(room, now).map((badge) => (
            <span key={badge.text} className={`badge badge--${badge.tone}`} title={badge.detail}>
              {badge.text}
              <span className="only-read">. {badge.detail}</span>
            </span>
          ))}
        </span>
      </th>
      <td role="cell" data-label="People">
        <button type="button" className="live__people" onClick={() => orders.people(room)}>
          {room.people}
          <span className="only-read"> in {nameOf(room)}; show who</span>
        </button>
        {room.connections > room.people && <small>{room.connections} connections</small>}
      </td>
      <td role="cell" data-label="Edits/s">
        {rate(room.edits_per_s)}
      </td>
      <td role="cell" data-label="Drawing">
        {room.nodes.length > 0 ? size(room.document_bytes) : "–"}
      </td>
      <td role="cell" data-label="Journal">
        {room.nodes.length > 0 ? (
          <>
            {room.journal_rows.toLocaleString("en")}
            <small>{size(room.journal_bytes)}</small>
          </>
        ) : (
          "–"
        )}
      </td>
      <td role="cell" data-label="Node" className="live__nodes">
        {room.nodes.length === 0 && "not open"}
        {room.nodes.map((node) => (
          <span key={node} title={node}>
            {shortNode(node)}{" "}
          </span>
        ))}
      </td>
      <td role="cell" className="live__more">
        <Menu label={`Orders for ${nameOf(room)}`} trigger={<MoreIcon />} entries={entries} />
      </td>
    </tr>
  );
});

export function RoomTable({ rooms, now, orders }: { rooms: readonly LiveRoom[]; now: number; orders: RoomOrders }): ReactNode {
  return (
    <table role="table" className="live" aria-label="Live rooms">
      <thead role="rowgroup">
        <tr role="row">
          {COLUMNS.map((name) => (
            <th key={name} role="columnheader" scope="col">
              {name}
            </th>
          ))}
          <th role="columnheader" scope="col">
            <span className="only-read">Orders</span>
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rooms.map((room) => (
          <Row key={room.id} room={room} now={now} orders={orders} />
        ))}
      </tbody>
    </table>
  );
}
