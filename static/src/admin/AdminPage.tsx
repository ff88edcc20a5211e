/** The operator's page: live rooms and nodes, and orders to them. Only a token with the claim `admin` sees anything. */
import { useEffect, useMemo, useState, type ReactNode } from "react";
import "../styles/admin.css";
import type { LiveRoom, Node, PersonInRoom } from "../api/admin";
import { wordsFor } from "../api/errors";
import { useApi } from "../app/context";
import { navigate } from "../app/router";
import { count } from "../app/time";
import { Doodle } from "../ui/Doodle";
import { Logo } from "../ui/Logo";
import { Notice } from "../ui/Notice";
import { OfflineIcon } from "../ui/icons";
import { useSay } from "../ui/toasts";
import { CloseDialog, DrainDialog, KickDialog, nameOf, PeopleDialog } from "./dialogs";
import { RoomTable, type RoomOrders } from "./RoomTable";
import { SignIn } from "./SignIn";
import { useOperator, useOverview } from "./useOverview";
import { rate, shortNode, uptime } from "./words";

type Asked =
  | { readonly what: "people" | "close"; readonly room: LiveRoom }
  | { readonly what: "kick"; readonly room: LiveRoom; readonly person: PersonInRoom }
  | { readonly what: "drain"; readonly node: Node };

function Nodes({ nodes, now, onDrain }: { nodes: readonly Node[]; now: number; onDrain: (node: Node) => void }): ReactNode {
  return (
    <ul className="nodes" aria-label="Nodes" data-testid="nodes">
      {nodes.map((node) => (
        <li key={node.node} className="nodes__one">
          <span className={`nodes__light nodes__light--${node.phase}`} aria-hidden="true" />
          <span className="nodes__who">
            <strong title={node.node}>
              {node.host} <span className="nodes__name">{shortNode(node.node)}</span>
            </strong>
            <small>
              {node.phase}, {node.serves ? "" : "for jobs alone, "}process {node.pid}, {uptime(node.started_at, now)}
              {node.is_this && nodes.length > 1 && ", this one answers"}
            </small>
          </span>
          <span className="nodes__what">
            {count(node.connections, "connection", "connections")}, {count(node.rooms, "room", "rooms")}
          </span>
          {nodes.length > 1 && (
            <button type="button" className="button" disabled={node.phase === "draining"} onClick={() => onDrain(node)}>
              Drain<span className="only-read"> {shortNode(node.node)} on {node.host}</span>
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

export default function AdminPage(): ReactNode {
  const api = useApi();
  const say = useSay();
  const operator = useOperator();
  const { token } = operator;
  const seen = useOverview(token);
  const [asked, setAsked] = useState<Asked | null>(null);
  const { look } = seen;
  const { forget } = operator;
  const isStale = seen.refused && operator.given && operator.own;

  useEffect(() => {
    // The token that was given has ended, and the session's is an operator's: that one goes on.
    if (isStale) forget();
  }, [isStale, forget]);

  useEffect(() => {
    document.title = "Operator · Kanvas";
  }, []);

  const order = useMemo(() => {
    const done = (words: string) => {
      setAsked(null);
      say(words);
      look();
    };
    const failed = (error: unknown) => {
      const words = wordsFor(error);
      say({ text: `${words.title}. ${words.detail}`, tone: "bad" });
    };
    return { done, failed };
  }, [look, say]);

  const orders: RoomOrders = useMemo(() => {
    const now = (work: (token: string) => Promise<void>, words: string) => {
      if (token !== null) work(token).then(() => order.done(words), order.failed);
    };
    return {
      people: (room) => setAsked({ what: "people", room }),
      close: (room) => setAsked({ what: "close", room }),
      freeze: (room) => now((by) => api.admin.freeze(by, room.id), `“${nameOf(room)}” takes no edits any more.`),
      thaw: (room) => now((by) => api.admin.thaw(by, room.id), `“${nameOf(room)}” takes edits again.`),
      open: (room) => now((by) => api.admin.open(by, room.id), `Everybody may enter “${nameOf(room)}” again.`),
    };
  }, [api, order, token]);

  const at = seen.at || Date.now();
  const items = seen.rooms?.items ?? [];
  const connections = seen.nodes.reduce((sum, node) => sum + node.connections, 0);
  const rates = seen.nodes.map((node) => node.edits_per_s);
  const edits = rates.every((one) => one === null) ? null : rates.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  const home = (
    <a
      className="lobby__home"
      href="/"
      aria-label="Kanvas, the lobby"
      onClick={(event) => {
        event.preventDefault();
        navigate("/");
      }}
    >
      <Logo />
    </a>
  );

  if (token === null || seen.refused) {
    return (
      <div className="lobby admin">
        <header className="lobby__bar">{home}</header>
        <main className="page">
          <SignIn
            refused={seen.refused ? "This token is not an operator’s, or it has expired." : null}
            onToken={(given) => {
              operator.give(given);
              look();
            }}
          />
        </main>
      </div>
    );
  }

  return (
    <div className="lobby admin">
      <a className="skip" href="#live">
        Skip to the rooms
      </a>
      <header className="lobby__bar">
        {home}
        {operator.given && (
          <button type="button" className="button button--quiet" onClick={operator.forget}>
            Forget the token
          </button>
        )}
      </header>
      <main className="page">
        <div className="admin__head">
          <h1>Live rooms</h1>
          <dl className="admin__sums" data-testid="sums">
            <div>
              <dt>Connections</dt>
              <dd>{connections.toLocaleString("en")}</dd>
            </div>
            <div>
              <dt>Open rooms</dt>
              <dd>{(seen.rooms?.total ?? 0).toLocaleString("en")}</dd>
            </div>
            <div>
              <dt>Edits a second</dt>
              <dd>{rate(edits)}</dd>
            </div>
          </dl>
        </div>

        {seen.problem && (
          <p className="banner" role="status">
            <OfflineIcon />
            <span>
              <strong>{seen.problem.title}.</strong> {seen.rooms ? `This is how it was at ${new Date(at).toLocaleTimeString()}.` : seen.problem.detail}
            </span>
          </p>
        )}
        {(seen.rooms?.silent_nodes.length ?? 0) > 0 && (
          <p className="banner" role="status">
            <OfflineIcon />
            <span>
              <strong>Not all nodes answer.</strong> What {seen.rooms?.silent_nodes.map(shortNode).join(", ")} has open is missing here.
            </span>
          </p>
        )}

        <section aria-label="Nodes">
          <Nodes nodes={seen.nodes} now={at} onDrain={(node) => setAsked({ what: "drain", node })} />
        </section>

        <section id="live" tabIndex={-1} aria-label="Rooms" aria-busy={seen.rooms === null}>
          {seen.rooms !== null && items.length === 0 && (
            <Notice art={<Doodle seed="operator" className="notice__doodle" />} title="All quiet">
              No room is open now. Rooms show up here as soon as somebody enters one.
            </Notice>
          )}
          {items.length > 0 && <RoomTable rooms={items} now={at} orders={orders} />}
          {seen.rooms !== null && seen.rooms.total > items.length && (
            <p className="lobby__note">
              The {items.length} fullest of {seen.rooms.total.toLocaleString("en")} rooms are shown.
            </p>
          )}
        </section>
      </main>

      {asked?.what === "people" && (
        <PeopleDialog token={token} room={asked.room} onClose={() => setAsked(null)} onKick={(person) => setAsked({ what: "kick", room: asked.room, person })} />
      )}
      {asked?.what === "kick" && (
        <KickDialog
          room={asked.room}
          person={asked.person}
          onClose={() => setAsked({ what: "people", room: asked.room })}
          onOrder={(seconds) =>
            api.admin.kick(token, asked.room.id, asked.person.user.id, seconds).then(() => order.done(`${asked.person.user.name} was sent out.`))
          }
        />
      )}
      {asked?.what === "close" && (
        <CloseDialog
          room={asked.room}
          onClose={() => setAsked(null)}
          onOrder={(seconds) => api.admin.close(token, asked.room.id, seconds).then(() => order.done(`Everybody was sent out of “${nameOf(asked.room)}”.`))}
        />
      )}
      {asked?.what === "drain" && (
        <DrainDialog
          node={asked.node}
          onClose={() => setAsked(null)}
          onOrder={() => api.admin.drain(token, asked.node.node).then(() => order.done(`${shortNode(asked.node.node)} on ${asked.node.host} is draining.`))}
        />
      )}
    </div>
  );
}
