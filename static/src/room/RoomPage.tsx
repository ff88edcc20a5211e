/** The room: a slim bar of ours, and the editor below it, so that neither covers the other on any screen. */
import { Suspense, lazy, useCallback, useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from "react";
import "../styles/room.css";
import { ActivityDrawer } from "../activity/ActivityDrawer";
import { Loading } from "../app/App";
import { copyText } from "../app/clipboard";
import { useIdentity, useMe } from "../app/context";
import { askedThread, navigate, roomLink, roomPath } from "../app/router";
import { readScene, type Peer } from "../binding";
import { addressWords, can, viewWords } from "../share/roles";
import { EyeIcon } from "../ui/icons";
import { Notice } from "../ui/Notice";
import { useSay } from "../ui/toasts";
import type { EditorHandle } from "./Editor";
import { clearRoom } from "./caches";
import { finish, handOver, takeOver, type Handover } from "./handover";
import { Opening } from "./Opening";
import { RefusalDialog } from "./RefusalDialog";
import { RoomBar, type Drawer } from "./RoomBar";
import { RoomSession } from "./roomsession";

const Editor = lazy(() => import("./Editor"));
const ShareDialog = lazy(() => import("../share/ShareDialog").then((module) => ({ default: module.ShareDialog })));

const LOOK_MS = 30_000;

/** One session for each visit: made in an effect, so that leaving always ends it. */
function useRoomSession(id: string): RoomSession | null {
  const identity = useIdentity();
  const me = useMe();
  const say = useSay();
  const [session, setSession] = useState<RoomSession | null>(null);
  useEffect(() => {
    const made = new RoomSession({ identity, id, user: me.id, complain: (text) => say({ text, tone: "bad" }), tell: say });
    setSession(made);
    return () => {
      made.destroy();
      setSession(null);
    };
  }, [id, identity, me.id, say]);
  return session;
}

export default function RoomPage({ id }: { id: string }): ReactNode {
  const session = useRoomSession(id);
  return session ? <OpenedRoom session={session} id={id} /> : <Loading>Opening the room…</Loading>;
}

function OpenedRoom({ session, id }: { session: RoomSession; id: string }): ReactNode {
  const identity = useIdentity();
  const me = useMe();
  const say = useSay();
  const state = useSyncExternalStore(session.subscribe, session.state);
  const [peers, setPeers] = useState<readonly Peer[]>([]);
  const [following, setFollowing] = useState<string | null>(null);
  const [drawer, setDrawer] = useState<Drawer | null>(null);
  const [sharing, setSharing] = useState(false);
  const [thread] = useState(() => askedThread(window.location.search));
  const [pending, setPending] = useState<Handover | null>(() => takeOver(id));
  const handle = useRef<EditorHandle | null>(null);
  const { room, open } = state;

  useEffect(() => {
    document.title = room ? `${room.title} · Kanvas` : "Kanvas";
  }, [room]);

  useEffect(() => {
    const look = () => {
      if (document.visibilityState === "visible") void session.look();
    };
    const timer = setInterval(look, LOOK_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [session]);

  const opens = room ? addressWords(room) : "";
  const copyLink = useCallback(async () => {
    const link = roomLink(id);
    say((await copyText(link)) ? `Link copied. ${opens}` : link);
  }, [id, opens, say]);
  const onHandle = useCallback((next: EditorHandle | null) => {
    handle.current = next;
    if (!next) {
      setPeers([]);
      setFollowing(null);
    }
  }, []);
  const onPendingDone = useCallback(() => {
    const from = takeOver(id)?.from;
    finish(id);
    setPending(null);
    if (from) void clearRoom(me.id, from);
  }, [id, me.id]);
  const closeDrawer = useCallback(() => setDrawer(null), []);
  const openComments = useCallback((next: boolean) => setDrawer((now) => (next ? "comments" : now === "comments" ? null : now)), []);
  const onCopyLink = useCallback(() => void copyLink(), [copyLink]);

  if (state.stage === "failed" && state.words) {
    return (
      <main className="page page--centred">
        <Notice
          tone="bad"
          title={state.words.title}
          action={state.words.retry ? { label: "Try again", run: () => void session.open() } : { label: "Go to the lobby", run: () => navigate("/") }}
          more={
            state.words.retry && (
              <button type="button" className="button button--quiet" onClick={() => navigate("/")}>
                Go to the lobby
              </button>
            )
          }
        >
          {state.words.detail}
        </Notice>
      </main>
    );
  }
  const looking = room && !can(room, "edit") ? viewWords(room) : null;
  if (!open || !room) return <Opening title={room?.title ?? ""} progress={state.progress} />;

  const exportCopy = async () => {
    const { writeOut, download } = await import("./transfer");
    const { fileName } = await import("./scene");
    download(fileName(room.title), await writeOut(open.doc, window.kanvas?.api.getFiles() ?? {}, open.assets));
  };
  const copyIntoNewRoom = async () => {
    const { writeOut } = await import("./transfer");
    const { parseScene } = await import("./scene");
    const scene = parseScene(await writeOut(open.doc, window.kanvas?.api.getFiles() ?? {}, open.assets));
    const made = await identity.api.createRoom({ title: `Copy of ${room.title}`.slice(0, 120), visibility: room.visibility });
    // The old copy goes only when the new room has taken the drawing (onPendingDone): until then both are here.
    handOver(made.id, { scene, from: id });
    navigate(roomPath(made.id), { replace: true });
  };
  const onLeft = () => {
    setSharing(false);
    say(`You left “${room.title}”.`);
    navigate("/", { replace: true });
  };
  const discard = async (reopen: boolean) => {
    await session.discard();
    if (reopen) await session.open();
    else navigate("/", { replace: true });
  };

  return (
    <div className="room">
      <RoomBar
        room={room}
        me={me}
        saved={open.saved}
        link={state.link}
        frozen={state.frozen}
        looking={looking !== null}
        comments={session.comments}
        peers={peers}
        following={following}
        drawer={drawer}
        onFollow={(peer) => handle.current?.follow.toggle(peer)}
        onDrawer={setDrawer}
        onRename={(title) => session.rename(title)}
        onShare={() => setSharing(true)}
      />
      {looking !== null && (
        <p className="room__looking" role="status" data-testid="looking">
          <EyeIcon />
          <span>{looking}</span>
        </p>
      )}
      <main className="room__canvas">
        <Suspense fallback={<Loading>Loading the editor…</Loading>}>
          <Editor
            key={open.doc.guid}
            open={open}
            api={identity.api}
            files={drawer === "files"}
            onFilesClose={closeDrawer}
            comments={drawer === "comments"}
            onComments={openComments}
            thread={thread}
            me={me}
            room={room}
            userId={me.id}
            session={session}
            frozen={state.stage === "refused" || looking !== null}
            pending={pending?.scene ?? null}
            onPendingDone={onPendingDone}
            onPeers={setPeers}
            onFollowing={setFollowing}
            onHandle={onHandle}
            onCopyLink={onCopyLink}
          />
        </Suspense>
        {drawer === "activity" && can(room, "audit") && <ActivityDrawer api={identity.api} room={room.id} myId={me.id} onClose={closeDrawer} />}
      </main>
      {sharing && state.stage !== "refused" && (
        <Suspense fallback={null}>
          <ShareDialog
            room={room}
            me={me}
            news={state.news}
            onRoom={session.learn}
            onLeft={onLeft}
            onClose={() => setSharing(false)}
          />
        </Suspense>
      )}
      {state.stage === "refused" && state.refusal && (
        <RefusalDialog
          refusal={state.refusal}
          elements={readScene(open.doc).length}
          onDownload={exportCopy}
          onCopy={copyIntoNewRoom}
          onDiscard={discard}
          onSignIn={() => session.leaveSession()}
        />
      )}
    </div>
  );
}
