/**
 * The room's bar: back, name, whether it is saved, who is here, and what opens beside the canvas.
 *
 * Where there is no room for every button, the rarer ones are in one menu.
 */
import { useSyncExternalStore, type ReactNode } from "react";
import { CommentsButton } from "../comments/CommentsButton";
import type { CommentStore } from "../comments/store";
import type { Person, Room } from "../api/types";
import { isPlainClick, navigate } from "../app/router";
import type { Peer, Saved } from "../binding";
import { can, ROLE_HERE } from "../share/roles";
import { RoleBadge } from "../share/RoleBadge";
import { BackIcon, FilesIcon, HistoryIcon, MoreIcon, PeopleIcon } from "../ui/icons";
import { Menu, type MenuEntry } from "../ui/Menu";
import { People } from "./People";
import { RoomTitle } from "./RoomTitle";
import { SavedIndicator } from "./SavedIndicator";
import type { Link } from "./words";

/** What is open beside the canvas: one at a time. */
export type Drawer = "files" | "comments" | "activity";

const NARROW = "(max-width: 48rem)";
const TINY = "(max-width: 30rem)";

function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (listener) => {
      const media = window.matchMedia(query);
      media.addEventListener("change", listener);
      return () => media.removeEventListener("change", listener);
    },
    () => window.matchMedia(query).matches,
  );
}

export function RoomBar(props: {
  room: Room;
  me: Person;
  saved: Saved;
  link: Link;
  frozen: boolean;
  looking: boolean;
  comments: CommentStore;
  peers: readonly Peer[];
  following: string | null;
  drawer: Drawer | null;
  onFollow: (peer: Peer) => void;
  onDrawer: (drawer: Drawer | null) => void;
  onRename: (title: string) => Promise<void>;
  onShare: () => void;
}): ReactNode {
  const { room, drawer } = props;
  const narrow = useMedia(NARROW);
  const tiny = useMedia(TINY);
  const toggle = (which: Drawer) => props.onDrawer(drawer === which ? null : which);
  const rare: (MenuEntry & { drawer: Drawer; title: string })[] = [
    { drawer: "files", label: "Files", title: "Files of this room", icon: <FilesIcon />, run: () => toggle("files"), testId: "files-button" },
    // Who may is the server's to say.
    ...(can(room, "audit")
      ? [{ drawer: "activity" as const, label: "Activity", title: "Activity in this room", icon: <HistoryIcon />, run: () => toggle("activity"), testId: "activity-button" }]
      : []),
  ];

  return (
    <header className="room__bar">
      <a
        className="room__back"
        href="/"
        aria-label="Back to the lobby"
        title="Back to the lobby"
        onClick={(event) => {
          if (!isPlainClick(event)) return;
          event.preventDefault();
          navigate("/");
        }}
      >
        <BackIcon />
      </a>
      <RoomTitle room={room} onRename={props.onRename} />
      <SavedIndicator saved={props.saved} link={props.link} frozen={props.frozen} looking={props.looking} />
      {room.role && <RoleBadge role={room.role} className="room__role" />}
      <span className="room__space" />
      <People me={props.me} peers={props.peers} following={props.following} most={tiny ? 1 : narrow ? 2 : 7} onFollow={props.onFollow} />
      <CommentsButton store={props.comments} open={drawer === "comments"} onToggle={() => toggle("comments")} />
      {!narrow &&
        rare.map((one) => (
          <button
            key={one.drawer}
            type="button"
            className="button room__tool"
            aria-label={one.title}
            title={one.title}
            aria-expanded={drawer === one.drawer}
            onClick={one.run}
            data-testid={one.testId}
          >
            {one.icon}
          </button>
        ))}
      {narrow && (
        <Menu
          className="room__more"
          label="More of this room"
          testId="room-more"
          trigger={<MoreIcon />}
          head={room.role ? ROLE_HERE[room.role] : undefined}
          entries={rare}
        />
      )}
      <button type="button" className="button room__share" onClick={props.onShare} aria-label="Share this room" title="Share this room" aria-haspopup="dialog" data-testid="share-button">
        <PeopleIcon />
        <span className="room__share-word">Share</span>
      </button>
    </header>
  );
}
