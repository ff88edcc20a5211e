/**
 * Excalidraw, bound to an open room.
 *
 * Owns: the editor's props, its menu, files dropped on it, and the life of the binding. Never inside StrictMode.
 */
import "../assetpath";
import "@excalidraw/excalidraw/index.css";
import "../styles/assets.css";
import { CaptureUpdateAction, Excalidraw, MainMenu } from "@excalidraw/excalidraw";
import type { ExcalidrawImperativeAPI, ExcalidrawProps } from "@excalidraw/excalidraw/types";
import { useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import type { Api } from "../api/client";
import type { Person, Room } from "../api/types";
import { choose, useTheme } from "../app/theme";
import { AssetDrawer } from "../assets/AssetDrawer";
import { Attachment, factsOf } from "../assets/Attachment";
import { Inserter } from "../assets/inserter";
import { linkedAsset } from "../assets/links";
import { Pictures } from "../assets/pictures";
import { UploadMarks } from "../assets/UploadMarks";
import { UploadTray } from "../assets/UploadTray";
import { useIntake } from "../assets/useIntake";
import { Binding, type Peer } from "../binding";
import { Comments } from "../comments/Comments";
import { tintOf } from "../identity/names";
import { DownloadIcon, FilesIcon, ImageOutIcon, LinkIcon, MoonIcon, SunIcon, UploadIcon } from "../ui/icons";
import { useSay } from "../ui/toasts";
import { Follow } from "./follow";
import { ImportDialog } from "./ImportDialog";
import type { OpenRoom, RoomSession } from "./roomsession";
import type { Scene } from "./scene";
import { bringIn, chooseFile, readFile, save, type Manner } from "./transfer";

export interface EditorHandle {
  readonly follow: Follow;
}

/** On the console: `kanvas.api`, `kanvas.doc`, `kanvas.provider`, `kanvas.binding`, `kanvas.saved` of the open room. */
export interface ConsoleHandle {
  readonly api: ExcalidrawImperativeAPI;
  readonly doc: OpenRoom["doc"];
  readonly provider: OpenRoom["provider"];
  readonly binding: Binding;
  readonly saved: OpenRoom["saved"];
}

declare global {
  interface Window {
    kanvas?: ConsoleHandle;
  }
}

const ACCEPT = ".excalidraw,.json,.png,.svg,application/json,image/png,image/svg+xml";
const UI_OPTIONS: NonNullable<ExcalidrawProps["UIOptions"]> = {
  canvasActions: { loadScene: false, saveToActiveFile: false, export: false, toggleTheme: null },
};
/** How often the last view of a room is remembered. */
const VIEW_MS = 500;

/** Only links to our own assets are shown inside the canvas; every other one stays a link. */
const isEmbedded = (link: string) => linkedAsset(link, window.location.origin) !== null;

export default function Editor(props: {
  open: OpenRoom;
  api: Api;
  room: Room;
  userId: string;
  session: RoomSession;
  /** Nothing can be changed here: I only look, or the server takes nothing more. */
  frozen: boolean;
  /** The drawer of the room's files is open. */
  files: boolean;
  onFilesClose: () => void;
  /** The panel of the room's comments is open. */
  comments: boolean;
  onComments: (open: boolean) => void;
  /** The thread the address asks for. */
  thread: string | null;
  me: Person;
  pending: Scene | null;
  onPendingDone: () => void;
  onPeers: (peers: readonly Peer[]) => void;
  onFollowing: (socketId: string | null) => void;
  onHandle: (handle: EditorHandle | null) => void;
  onCopyLink: () => void;
}): ReactNode {
  const { open, api: rest, room, session, userId, onPeers, onFollowing, onHandle } = props;
  const say = useSay();
  const theme = useTheme();
  const [api, setApi] = useState<ExcalidrawImperativeAPI | null>(null);
  const [offered, setOffered] = useState<{ scene: Scene; name: string } | null>(null);
  const [inserter, setInserter] = useState<Inserter | null>(null);
  const [peers, setPeers] = useState<readonly Peer[]>([]);
  const binding = useRef<Binding | null>(null);
  const pictures = useRef<Pictures | null>(null);
  const frame = useRef<HTMLDivElement>(null);
  const selected = useRef<object | null>(null);
  const title = useRef(room.title);
  title.current = room.title;

  useEffect(() => {
    if (!api) return;
    const made = new Binding({
      api,
      doc: open.doc,
      awareness: open.provider.awareness,
      color: tintOf(userId),
      assets: open.assets,
      losses: open.losses,
    });
    binding.current = made;
    session.attach(made);
    made.attach();
    const follow = new Follow({ api, awareness: open.provider.awareness, binding: made });
    const off = [
      made.subscribePeers(onPeers),
      made.subscribePeers(setPeers),
      api.onUserFollow(() => onFollowing(api.getAppState().userToFollow?.socketId ?? null)),
    ];
    pictures.current = new Pictures(api, open.assets);
    const inserting = new Inserter({
      api,
      doc: open.doc,
      assets: open.assets,
      complain: (text) => say({ text, tone: "bad" }),
      mostBytes: () => rest.config().then((config) => config.max_asset_bytes, () => null),
    });
    setInserter(inserting);
    const stopView = rememberView(api, `kanvas.view:${room.id}`);
    const handle: ConsoleHandle = { api, doc: open.doc, provider: open.provider, binding: made, saved: open.saved };
    window.kanvas = handle;
    onHandle({ follow });
    return () => {
      onHandle(null);
      setInserter(null);
      inserting.destroy();
      pictures.current?.destroy();
      stopView();
      follow.destroy();
      for (const stop of off) stop();
      // The session may have ended the binding already, before the connection.
      if (session.release(made)) made.detach();
      binding.current = null;
      if (window.kanvas === handle) delete window.kanvas;
    };
  }, [api, onFollowing, onHandle, onPeers, open, rest, room.id, say, session, userId]);

  // Excalidraw 0.18 learns its new size from the window before it looks whether that makes it a small screen, and
  // then has no reason to draw itself again: a turned phone would keep the other layout.
  useEffect(() => {
    if (!api || !frame.current) return;
    const observer = new ResizeObserver(() => requestAnimationFrame(() => api.refresh()));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, [api]);

  const bring = useCallback(
    (scene: Scene, manner: Manner) => {
      if (!api) return;
      const number = bringIn({ api, doc: open.doc, scene, manner });
      say(number === 1 ? "One element came in." : `${number} elements came in.`);
    },
    [api, open, say],
  );

  // Tools that drew, and what they had hold of, go with the right to draw.
  const { frozen } = props;
  useEffect(() => {
    if (!api || !frozen) return;
    api.setActiveTool({ type: "selection" });
    api.updateScene({ appState: { selectedElementIds: {}, selectedGroupIds: {}, editingGroupId: null }, captureUpdate: CaptureUpdateAction.NEVER });
  }, [api, frozen]);

  const { pending, onPendingDone } = props;
  useEffect(() => {
    if (!api || !pending) return;
    let live = true;
    void editorReady(api).then(() => {
      if (!live) return;
      bring(pending, "add");
      binding.current?.flush();
      onPendingDone();
    });
    return () => {
      live = false;
    };
  }, [api, bring, onPendingDone, pending]);

  const offer = useCallback(
    async (file: File) => {
      try {
        setOffered({ scene: await readFile(file), name: file.name });
      } catch (error) {
        say({ text: error instanceof Error ? error.message : "This file can't be read.", tone: "bad" });
      }
    },
    [say],
  );

  const importFile = useCallback(async () => {
    const file = await chooseFile(ACCEPT);
    if (file) await offer(file);
  }, [offer]);

  const exportFile = useCallback(async () => {
    if (!api) return;
    binding.current?.flush();
    await save(title.current, open.doc, api.getFiles(), open.assets);
  }, [api, open]);

  // Pictures go out whole, whatever the canvas shows of them.
  const exportImage = useCallback(async () => {
    if (!api) return;
    const missing = await pictures.current?.makeWhole(api.getSceneElements());
    if (missing) say({ text: "Some pictures can't be loaded now; they go out as they are shown.", tone: "bad" });
    api.updateScene({ appState: { openDialog: { name: "imageExport" } } as never, captureUpdate: CaptureUpdateAction.NEVER });
  }, [api, say]);

  // Excalidraw's own Ctrl+O and Ctrl+S work on its scene, ours on the document.
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey || document.querySelector("dialog[open]")) return;
      const key = event.key.toLowerCase();
      if (key === "a" && props.frozen && (event.target === document.body || frame.current?.contains(event.target as Node))) {
        // In its view mode the editor leaves it to the browser, which would select the page's words.
        event.preventDefault();
        return;
      }
      const image = key === "e" && event.shiftKey;
      if (key !== "s" && key !== "o" && !image) return;
      event.preventDefault();
      event.stopPropagation();
      if (image) void exportImage();
      else if (key === "s") void exportFile();
      else if (!props.frozen) void importFile();
    };
    window.addEventListener("keydown", onKey, { capture: true });
    return () => window.removeEventListener("keydown", onKey, { capture: true });
  }, [exportFile, exportImage, importFile, props.frozen]);

  const { pick } = useIntake({ frame, api, inserter, frozen: props.frozen, onDrawing: offer });
  const nameOf = useCallback(
    (id: string) => (id === userId ? "You" : (peers.find((peer) => peer.userId === id)?.name ?? null)),
    [peers, userId],
  );
  const renderEmbeddable = useCallback<NonNullable<ExcalidrawProps["renderEmbeddable"]>>(
    (element) => {
      const id = linkedAsset(element.link, window.location.origin);
      return id ? <Attachment id={id} facts={factsOf(element.customData)} api={rest.assets} /> : null;
    },
    [rest],
  );

  // Excalidraw opens a link of this origin in this very tab; a file is no page to go to.
  const onLinkOpen = useCallback<NonNullable<ExcalidrawProps["onLinkOpen"]>>((element, event) => {
    if (!element.link || !isEmbedded(element.link)) return;
    event.preventDefault();
    window.open(element.link, "_blank", "noopener");
  }, []);

  const receive = useCallback((it: ExcalidrawImperativeAPI) => {
    // Handed out during the editor's construction, when nothing may be set yet.
    queueMicrotask(() => setApi(it));
  }, []);

  const onChange = useCallback<NonNullable<ExcalidrawProps["onChange"]>>((elements, appState, files) => {
    binding.current?.onChange(elements, appState, files);
    // A file's card says what it is; the address behind it is nothing to read or to change.
    if (selected.current === appState.selectedElementIds) return;
    selected.current = appState.selectedElementIds;
    const [id, ...others] = Object.keys(appState.selectedElementIds);
    const link = id !== undefined && others.length === 0 ? elements.find((element) => element.id === id)?.link : null;
    frame.current?.classList.toggle("editor--file", linkedAsset(link, window.location.origin) !== null);
  }, []);
  const onPointerUpdate = useCallback<NonNullable<ExcalidrawProps["onPointerUpdate"]>>((update) => {
    binding.current?.onPointerUpdate(update);
  }, []);

  const menu = useMemo(
    () => (
      <MainMenu>
        {!props.frozen && (
          <>
            <MainMenu.Item icon={<FilesIcon />} shortcut="9" data-testid="menu-files" onSelect={() => void pick()}>
              Add pictures and files…
            </MainMenu.Item>
            <MainMenu.Item icon={<UploadIcon />} shortcut="Ctrl+O" data-testid="menu-import" onSelect={() => void importFile()}>
              Import a drawing…
            </MainMenu.Item>
          </>
        )}
        <MainMenu.Item icon={<DownloadIcon />} shortcut="Ctrl+S" data-testid="menu-export" onSelect={() => void exportFile()}>
          Export as .excalidraw
        </MainMenu.Item>
        <MainMenu.Item icon={<ImageOutIcon />} shortcut="Ctrl+Shift+E" data-testid="image-export-button" onSelect={() => void exportImage()}>
          Export image…
        </MainMenu.Item>
        <MainMenu.DefaultItems.SearchMenu />
        <MainMenu.DefaultItems.Help />
        {!props.frozen && <MainMenu.DefaultItems.ClearCanvas />}
        <MainMenu.Separator />
        <MainMenu.Item icon={<LinkIcon />} onSelect={props.onCopyLink}>
          Copy the room's link
        </MainMenu.Item>
        <MainMenu.Item icon={theme === "dark" ? <SunIcon /> : <MoonIcon />} onSelect={() => choose(theme === "dark" ? "light" : "dark")}>
          {theme === "dark" ? "Light mode" : "Dark mode"}
        </MainMenu.Item>
        {!props.frozen && (
          <>
            <MainMenu.Separator />
            <MainMenu.DefaultItems.ChangeCanvasBackground />
          </>
        )}
      </MainMenu>
    ),
    [exportFile, exportImage, importFile, pick, props.frozen, props.onCopyLink, theme],
  );

  return (
    <div className="editor" ref={frame} data-testid="editor">
      <Excalidraw
        excalidrawAPI={receive}
        isCollaborating
        onChange={onChange}
        onPointerUpdate={onPointerUpdate}
        generateIdForFile={open.assets.idFor}
        generateLinkForSelection={linkForSelection}
        theme={theme}
        name={room.title}
        langCode="en"
        viewModeEnabled={props.frozen}
        handleKeyboardGlobally
        autoFocus
        aiEnabled={false}
        validateEmbeddable={isEmbedded}
        renderEmbeddable={renderEmbeddable}
        onLinkOpen={onLinkOpen}
        UIOptions={UI_OPTIONS}
      >
        {menu}
      </Excalidraw>
      {api && !props.frozen && <UploadMarks api={api} assets={open.assets} />}
      {api && <Comments api={api} store={session.comments} room={room} me={props.me} peers={peers} open={props.comments} onOpen={props.onComments} asked={props.thread} />}
      <UploadTray uploads={open.assets.uploads} />
      {props.files && inserter && (
        <AssetDrawer
          api={rest}
          assets={open.assets}
          frozen={props.frozen}
          nameOf={nameOf}
          onAdd={(asset) => void inserter.insertAsset(asset)}
          onUpload={() => void pick()}
          onClose={props.onFilesClose}
        />
      )}
      {offered && !props.frozen && (
        <ImportDialog
          name={offered.name}
          number={offered.scene.elements.length}
          empty={(api?.getSceneElements().length ?? 0) === 0}
          onClose={() => setOffered(null)}
          onChoose={(manner) => {
            bring(offered.scene, manner);
            setOffered(null);
          }}
        />
      )}
    </div>
  );
}

/** The editor sets its own first scene after it has handed out its API; what comes sooner would be lost. */
async function editorReady(api: ExcalidrawImperativeAPI): Promise<void> {
  while (api.getAppState().isLoading) await new Promise((resolve) => setTimeout(resolve, 20));
}

function linkForSelection(id: string): string {
  const url = new URL(window.location.pathname, window.location.origin);
  url.searchParams.set("element", id);
  return url.toString();
}

/**
 * Keeps where I looked last in this room, for a reload in this tab. Where that is unknown the view moves only when
 * there is something to see and nothing of it is in sight.
 */
function rememberView(api: ExcalidrawImperativeAPI, key: string): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let placed = false;
  const place = () => {
    const elements = api.getSceneElements();
    if (placed || elements.length === 0) return;
    placed = true;
    try {
      const kept: unknown = JSON.parse(sessionStorage.getItem(key) ?? "null");
      if (Array.isArray(kept) && kept.length === 3 && kept.every((value) => typeof value === "number" && Number.isFinite(value))) {
        const [scrollX, scrollY, zoom] = kept as [number, number, number];
        const { zoom: shape } = api.getAppState();
        api.updateScene({
          appState: { scrollX, scrollY, zoom: { ...shape, value: zoom as typeof shape.value } },
          captureUpdate: CaptureUpdateAction.NEVER,
        });
        return;
      }
    } catch {
      // Forbidden or not ours: look for the drawing.
    }
    const { scrollX, scrollY, width, height, zoom } = api.getAppState();
    const inSight = elements.some(
      (element) =>
        element.x + element.width > -scrollX &&
        element.x < -scrollX + width / zoom.value &&
        element.y + element.height > -scrollY &&
        element.y < -scrollY + height / zoom.value,
    );
    if (!inSight) api.scrollToContent(elements, { fitToViewport: true, viewportZoomFactor: 0.8, maxZoom: 1 });
  };
  const off = [
    api.onChange(place),
    // Whoever draws first has placed the view by that.
    api.onPointerDown(() => (placed = true)),
    api.onScrollChange((scrollX, scrollY, zoom) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        try {
          sessionStorage.setItem(key, JSON.stringify([scrollX, scrollY, zoom.value]));
        } catch {
          // Then a reload starts where a first visit does.
        }
      }, VIEW_MS);
    }),
  ];
  return () => {
    clearTimeout(timer);
    for (const stop of off) stop();
  };
}
