/** The lobby: my rooms, public rooms, the trash; search, and a new room. */
import { lazy, Suspense, useCallback, useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import "../styles/lobby.css";
import { wordsFor } from "../api/errors";
import type { Room, Scope } from "../api/types";
import { copyText } from "../app/clipboard";
import { useApi, useIdentity, useMe } from "../app/context";
import { navigate, roomLink, roomPath, useAddress } from "../app/router";
import { AccountMenu } from "../identity/AccountMenu";
import { addressWords } from "../share/roles";
import { Logo } from "../ui/Logo";
import { PlusIcon, SearchIcon, CloseIcon, OfflineIcon } from "../ui/icons";
import { Notice } from "../ui/Notice";
import { useSay } from "../ui/toasts";
import { useActiveRooms } from "./active";
import { DeleteRoomDialog, NewRoomDialog, RenameRoomDialog } from "./dialogs";
import { EmptyRooms } from "./EmptyRooms";
import { Invitations } from "./Invitations";
import { Mentions } from "./Mentions";
import { RoomCard, RoomSkeleton } from "./RoomCard";
import { useRooms } from "./rooms";

const ShareDialog = lazy(() => import("../share/ShareDialog").then((module) => ({ default: module.ShareDialog })));

const TABS: readonly { scope: Scope; label: string }[] = [
  { scope: "mine", label: "My rooms" },
  { scope: "public", label: "Public" },
  { scope: "trash", label: "Trash" },
];
const SEARCH_WAIT_MS = 250;
/** A list that is there sooner needs no placeholder. */
const SKELETON_AFTER_MS = 300;

function scopeOf(address: string): Scope {
  const tab = new URLSearchParams(address.split("?")[1] ?? "").get("tab");
  return tab === "public" || tab === "trash" ? tab : "mine";
}

function useLater<T>(value: T, waitMs: number): T {
  const [later, setLater] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLater(value), waitMs);
    return () => clearTimeout(timer);
  }, [value, waitMs]);
  return later;
}

function useAfter(active: boolean, waitMs: number): boolean {
  const [passed, setPassed] = useState(false);
  useEffect(() => {
    setPassed(false);
    if (!active) return;
    const timer = setTimeout(() => setPassed(true), waitMs);
    return () => clearTimeout(timer);
  }, [active, waitMs]);
  return active && passed;
}

type Asked = { readonly what: "new" } | { readonly what: "rename" | "delete" | "share"; readonly room: Room };

export function Lobby(): ReactNode {
  const identity = useIdentity();
  const api = useApi();
  const me = useMe();
  const say = useSay();
  const scope = scopeOf(useAddress());
  const [search, setSearch] = useState("");
  const q = useLater(search.trim(), SEARCH_WAIT_MS);
  const list = useRooms(scope, q);
  const active = useActiveRooms(scope === "public" && q === "" && list.state === "ready" && !list.stale ? list.rooms : null);
  const quiet = useMemo(() => {
    const shown = new Set(active.map((room) => room.id));
    return list.rooms.filter((room) => !shown.has(room.id));
  }, [active, list.rooms]);
  const [asked, setAsked] = useState<Asked | null>(null);
  const skeleton = useAfter(list.state === "loading", SKELETON_AFTER_MS);
  const searchField = useRef<HTMLInputElement>(null);
  const panelId = useId();
  const now = useMemo(() => Date.now(), [list.rooms, active]);

  // The editor is the larger part: fetch it while somebody reads the list.
  useEffect(() => {
    const timer = setTimeout(() => void import("../room/RoomPage").catch(() => undefined), 1500);
    return () => clearTimeout(timer);
  }, []);

  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (event.key === "/" && !typing && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        searchField.current?.focus();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  const fail = useCallback(
    (error: unknown) => {
      const words = wordsFor(error);
      say({ text: `${words.title}. ${words.detail}`, tone: "bad" });
    },
    [say],
  );

  const open = useCallback((room: Room) => navigate(roomPath(room.id)), []);

  const copyLink = useCallback(
    async (room: Room) => {
      const done = await copyText(roomLink(room.id));
      say(done ? `Link copied. ${addressWords(room)}` : { text: roomLink(room.id) });
    },
    [say],
  );

  const restore = useCallback(
    async (room: Room) => {
      try {
        await api.restoreRoom(room.id);
        list.patch(room.id, () => null);
        list.reload();
        say({ text: `“${room.title}” is back.`, action: { label: "Open", run: () => navigate(roomPath(room.id)) } });
      } catch (error) {
        fail(error);
      }
    },
    [api, fail, list, say],
  );

  const remove = useCallback(
    async (room: Room) => {
      await api.deleteRoom(room.id);
      list.patch(room.id, () => null);
      setAsked(null);
      say({
        text: `“${room.title}” is in the trash.`,
        action: { label: "Undo", run: () => void restore(room) },
      });
    },
    [api, list, restore, say],
  );

  const toggleVisibility = useCallback(
    async (room: Room) => {
      const visibility = room.visibility === "public" ? "unlisted" : "public";
      try {
        const changed = await api.changeRoom(room.id, { visibility });
        list.patch(room.id, () => changed);
        list.reload();
        say(visibility === "public" ? "Everyone on this server can find it now." : "Only people with the link find it now.");
      } catch (error) {
        fail(error);
      }
    },
    [api, fail, list, say],
  );

  const onTabKey = (event: KeyboardEvent) => {
    const index = TABS.findIndex((tab) => tab.scope === scope);
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const next = TABS[(index + step + TABS.length) % TABS.length];
    if (!next) return;
    show(next.scope);
    document.getElementById(`tab-${next.scope}`)?.focus();
  };
  const show = (next: Scope) => navigate(next === "mine" ? "/" : `/?tab=${next}`, { replace: true });

  const cardOf = (room: Room) => (
    <RoomCard
      key={room.id}
      room={room}
      me={me}
      now={now}
      trashed={scope === "trash"}
      onOpen={open}
      onCopyLink={(it) => void copyLink(it)}
      onShare={(it) => setAsked({ what: "share", room: it })}
      onRename={(it) => setAsked({ what: "rename", room: it })}
      onDelete={(it) => setAsked({ what: "delete", room: it })}
      onToggleVisibility={(it) => void toggleVisibility(it)}
      onRestore={(it) => void restore(it)}
    />
  );

  return (
    <div className="lobby">
      <a className="skip" href="#rooms">
        Skip to the rooms
      </a>
      <header className="lobby__bar">
        <a className="lobby__home" href="/" aria-label="Kanvas, the lobby" onClick={(event) => { event.preventDefault(); show("mine"); }}>
          <Logo />
        </a>
        <AccountMenu />
      </header>

      <main className="page">
        <div className="lobby__head">
          <div>
            <h1>Hello, {me.name}</h1>
            <p className="lobby__lead">Open a room and draw with whoever has the link.</p>
          </div>
          <button type="button" className="button button--primary button--large lobby__new" onClick={() => setAsked({ what: "new" })}>
            <PlusIcon />
            New room
          </button>
        </div>

        <div className="lobby__tools">
          <div className="tabs" role="tablist" aria-label="Which rooms" onKeyDown={onTabKey}>
            {TABS.map((tab) => (
              <button
                key={tab.scope}
                id={`tab-${tab.scope}`}
                type="button"
                role="tab"
                className="tabs__tab"
                aria-selected={tab.scope === scope}
                aria-controls={panelId}
                tabIndex={tab.scope === scope ? 0 : -1}
                onClick={() => show(tab.scope)}
              >
                {tab.label}
              </button>
            ))}
          </div>
          <div className="search" role="search">
            <SearchIcon />
            <input
              ref={searchField}
              className="input search__input"
              type="search"
              maxLength={120}
              placeholder="Search by name"
              aria-label="Search rooms by name"
              value={search}
              onChange={(event) => setSearch(event.target.value)}
              onKeyDown={(event) => event.key === "Escape" && setSearch("")}
            />
            {search && (
              <button
                type="button"
                className="search__clear"
                aria-label="Clear the search"
                onClick={() => {
                  setSearch("");
                  searchField.current?.focus();
                }}
              >
                <CloseIcon />
              </button>
            )}
          </div>
        </div>

        {scope === "mine" && (
          <>
            <Invitations onAccepted={(id) => navigate(roomPath(id))} />
            <Mentions />
          </>
        )}

        {list.stale && (
          <p className="banner" role="status" data-testid="lobby-offline">
            <OfflineIcon />
            <span>
              <strong>You are offline.</strong> These are the rooms last seen here. Rooms you have opened before still open, and what
              you draw is sent later.
            </span>
            <button type="button" className="button button--quiet" onClick={list.reload}>
              Try again
            </button>
          </p>
        )}

        <section id={panelId} role="tabpanel" aria-labelledby={`tab-${scope}`} aria-busy={list.state === "loading"}>
          <div id="rooms" tabIndex={-1} />
          {scope === "trash" && list.state === "ready" && list.rooms.length > 0 && (
            <p className="lobby__note">Rooms stay here for 30 days, then they are gone for good.</p>
          )}
          {list.state === "failed" && list.problem && (
            <Notice
              tone="bad"
              title={list.problem.title}
              action={
                list.ended
                  ? { label: "Sign in again", run: () => identity.expire() }
                  : list.problem.retry
                    ? { label: "Try again", run: list.reload }
                    : undefined
              }
            >
              {list.problem.detail}
            </Notice>
          )}
          {skeleton && (
            <ul className="rooms" aria-label="Loading rooms">
              {[0, 1, 2, 3, 4, 5].map((index) => (
                <RoomSkeleton key={index} />
              ))}
            </ul>
          )}
          {list.state === "ready" && list.rooms.length === 0 && active.length === 0 && (
            <EmptyRooms scope={scope} q={q} onNew={() => setAsked({ what: "new" })} onClear={() => setSearch("")} />
          )}
          {list.state === "ready" && active.length > 0 && (
            <section className="lobby__active" aria-labelledby="active-rooms" data-testid="active-rooms">
              <h2 id="active-rooms" className="lobby__heading">Rooms with people in them</h2>
              <ul className="rooms">{active.map(cardOf)}</ul>
            </section>
          )}
          {list.state === "ready" && active.length > 0 && quiet.length > 0 && <h2 className="lobby__heading">Other public rooms</h2>}
          {list.state === "ready" && quiet.length > 0 && (
            <ul className="rooms" data-testid="rooms">
              {quiet.map(cardOf)}
            </ul>
          )}
          {list.state === "ready" && list.more && (
            <div className="lobby__more">
              <button type="button" className="button" disabled={list.loadingMore} onClick={list.loadMore}>
                {list.loadingMore ? "Loading…" : "Show more"}
              </button>
            </div>
          )}
        </section>
      </main>

      {asked?.what === "new" && <NewRoomDialog suggestion={q} onClose={() => setAsked(null)} onDone={open} />}
      {asked?.what === "rename" && (
        <RenameRoomDialog
          room={asked.room}
          onClose={() => setAsked(null)}
          onDone={(room) => {
            list.patch(room.id, () => room);
            setAsked(null);
          }}
        />
      )}
      {asked?.what === "share" && (
        <Suspense fallback={null}>
          <ShareDialog
            room={asked.room}
            me={me}
            news={0}
            onRoom={(room) => {
              list.patch(room.id, () => room);
              setAsked((now) => (now?.what === "share" && now.room.id === room.id ? { ...now, room } : now));
            }}
            onLeft={() => {
              setAsked(null);
              list.reload();
              say(`You left “${asked.room.title}”.`);
            }}
            onClose={() => setAsked(null)}
          />
        </Suspense>
      )}
      {asked?.what === "delete" && <DeleteRoomDialog room={asked.room} onClose={() => setAsked(null)} onDelete={remove} />}
    </div>
  );
}
