/** What a list without rooms says, by where it is. */
import type { ReactNode } from "react";
import type { Scope } from "../api/types";
import { Doodle } from "../ui/Doodle";
import { Notice } from "../ui/Notice";

export function EmptyRooms(props: { scope: Scope; q: string; onNew: () => void; onClear: () => void }): ReactNode {
  const art = <Doodle seed={`empty-${props.scope}`} className="notice__doodle" />;
  if (props.q) {
    return (
      <Notice art={art} title="Nothing by that name" action={{ label: "Clear the search", run: props.onClear }}>
        No {props.scope === "trash" ? "deleted " : ""}room here has “{props.q}” in its name.
      </Notice>
    );
  }
  if (props.scope === "trash") {
    return (
      <Notice art={art} title="The trash is empty">
        Rooms you delete wait here for 30 days, in case you want them back.
      </Notice>
    );
  }
  if (props.scope === "public") {
    return (
      <Notice art={art} title="No public rooms yet" action={{ label: "Make the first one", run: props.onNew }}>
        Public rooms can be found by everybody on this server.
      </Notice>
    );
  }
  return (
    <Notice art={art} title="A blank sheet" action={{ label: "Make your first room", run: props.onNew }}>
      Rooms you make or visit show up here.
    </Notice>
  );
}
