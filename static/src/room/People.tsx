/** Who is here: me first, then each other person once, however many tabs they have. A click follows their view. */
import { useMemo, type ReactNode } from "react";
import type { Person } from "../api/types";
import type { Peer } from "../binding";
import { Avatar } from "../ui/Avatar";
import { EyeIcon } from "../ui/icons";
import { Menu } from "../ui/Menu";
import { distinctPeople } from "./distinct";

export function People(props: {
  me: Person;
  peers: readonly Peer[];
  following: string | null;
  most: number;
  onFollow: (peer: Peer) => void;
}): ReactNode {
  const { me, following } = props;
  const people = useMemo(() => distinctPeople(props.peers, me.id, following), [props.peers, me.id, following]);
  const crowded = people.length > props.most;
  const shown = crowded ? people.slice(0, props.most - 1) : people;
  const followed = people.find((peer) => peer.socketId === following);
  const total = people.length + 1;

  return (
    <div className="people" role="group" aria-label={`${total} ${total === 1 ? "person" : "people"} in the room`} data-testid="people">
      <span className="people__me" title={`You, ${me.name}`} data-testid="person-me">
        <Avatar id={me.id} name={me.name} size={30} />
        <span className="only-read">You, {me.name}</span>
      </span>
      {shown.map((peer) => (
        <button
          key={peer.userId}
          type="button"
          className="people__one"
          aria-pressed={peer.socketId === following}
          aria-label={peer.socketId === following ? `Stop following ${peer.name}` : `Follow ${peer.name}`}
          title={peer.socketId === following ? `Following ${peer.name}; click to stop` : `${peer.name}; click to follow`}
          data-testid="person"
          data-user={peer.userId}
          onClick={() => props.onFollow(peer)}
        >
          <Avatar id={peer.userId} name={peer.name} size={30} />
        </button>
      ))}
      {crowded && (
        <Menu
          className="people__more"
          label={`All ${total} people`}
          trigger={<span className="people__count">+{people.length - shown.length}</span>}
          head={`${total} people`}
          entries={people.map((peer) => ({
            label: peer.socketId === following ? `Stop following ${peer.name}` : peer.name,
            icon: <Avatar id={peer.userId} name={peer.name} size={26} />,
            run: () => props.onFollow(peer),
          }))}
        />
      )}
      <span className="only-read" role="status">
        {followed ? `You follow the view of ${followed.name}` : ""}
      </span>
      {followed && (
        <span className="people__following" aria-hidden="true">
          <EyeIcon />
        </span>
      )}
    </div>
  );
}
