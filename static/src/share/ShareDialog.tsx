/**
 * Who may do what in a room: its address, people, invitations, links, in one dialog.
 *
 * Owns: loading the lists, and loading them anew when something changed here or elsewhere. What each part does is its own.
 */
import { useCallback, useEffect, type ReactNode } from "react";
import "../styles/share.css";
import type { Person, Room } from "../api/types";
import { useApi } from "../app/context";
import { usePages } from "../app/pages";
import { Dialog } from "../ui/Dialog";
import { AddressSection } from "./AddressSection";
import { InvitationSection } from "./InvitationSection";
import { LinkSection } from "./LinkSection";
import { PeopleSection } from "./PeopleSection";
import { can } from "./roles";

export function ShareDialog(props: {
  room: Room;
  me: Person;
  /** Another number: people, links or the room changed elsewhere. */
  news: number;
  onRoom: (room: Room) => void;
  onLeft: () => void;
  onClose: () => void;
}): ReactNode {
  const { room, news, onRoom } = props;
  const api = useApi();
  const { sharing } = api;
  const { id } = room;
  const shares = can(room, "share");

  const members = usePages(useCallback((cursor: string | null, signal: AbortSignal) => sharing.members(id, cursor, signal), [sharing, id]));
  const invitations = usePages(
    useCallback((cursor: string | null, signal: AbortSignal) => sharing.invitations(id, cursor, signal), [sharing, id]),
    shares,
  );
  const links = usePages(useCallback((cursor: string | null, signal: AbortSignal) => sharing.links(id, cursor, signal), [sharing, id]), shares);

  const { reload: reloadMembers } = members;
  const { reload: reloadInvitations } = invitations;
  const { reload: reloadLinks } = links;
  const reload = useCallback(() => {
    reloadMembers();
    reloadInvitations();
    reloadLinks();
  }, [reloadMembers, reloadInvitations, reloadLinks]);
  useEffect(() => {
    if (news > 0) reload();
  }, [news, reload]);

  const onChanged = useCallback(() => {
    reload();
    // What cannot be had now comes with the room's next look.
    api.getRoom(id).then(onRoom, () => undefined);
  }, [api, id, onRoom, reload]);

  return (
    <Dialog title={`Share “${room.title}”`} onClose={props.onClose} wide>
      <div className="share" data-testid="share">
        <AddressSection room={room} onRoom={onRoom} />
        {shares && <InvitationSection room={room} list={invitations} onChanged={onChanged} />}
        <PeopleSection room={room} me={props.me} list={members} onChanged={onChanged} onLeft={props.onLeft} />
        {shares && <LinkSection room={room} list={links} onChanged={onChanged} />}
      </div>
    </Dialog>
  );
}
