/**
 * Excalidraw, bound to an open room.
 *
 * Owns: the editor's props, its menu, files dropped on it, and the life of the binding. Never inside StrictMode.
 */
import "../assetpath";
import "@excalidraw/excalidraw/index.css";
import { CaptureUpdateAction, Excalidraw, MainMenu } from "@excalidraw/excalidraw";
import type { ExcalidrawImperativeAPI, ExcalidrawProps } from "@excalidraw/excalidraw/types";
import { useCallback, useEffect, useMemo, useRef, useState, type DragEvent, type ReactNode } from "react";
import type { Room } from "../api/types";
import { choose, useTheme } from "../app/theme";
import { Binding, type Peer } from "../binding";
import { tintOf } from "../identity/names";
import { DownloadIcon, LinkIcon, MoonIcon, SunIcon, UploadIcon } from "../ui/icons";
import { useSay } from "../ui/toasts";
import { Follow } from "./follow";
import { ImportDialog } from "./ImportDialog";
import type { OpenRoom, RoomSession } from "./roomsession";
import type { Scene } from "./scene";
import { bringIn, carriesScene, chooseFile, readFile, save, type Manner } from "./transfer";

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

/** Files we pass back to Excalidraw untouched carry this mark, so that they are not taken again. */
const passedOn = new WeakSet<Event>();

export default function Editor(props: {
  open: OpenRoom;
  room: Room;
  userId: string;
  session: RoomSession;
  frozen: boolean;
  pending: Scene | null;
  onPendingDone: () => void;
  onPeers: (peers: readonly Peer[]) => void;
  onFollowing: (socketId: string | null) => void;
  onHandle: (handle: EditorHandle | null) => void;
  onCopyLink: () => void;
}): ReactNode {
  const { open, room, session, userId, onPeers, onFollowing, onHandle } = props;
  const say = useSay();
  const theme = useTheme();
  const [api, setApi] = useState<ExcalidrawImperativeAPI | null>(null);
  const [offered, setOffered] = useState<{ scene: Scene; name: string } | null>(null);
  const binding = useRef<Binding | null>(null);
  const frame = useRef<HTMLDivElement>(null);
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
      api.onUserFollow(() => onFollowing(api.getAppState().userToFollow?.socketId ?? null)),
    ];
    const stopView = rememberView(api, `kanvas.view:${room.id}`);
    const handle: ConsoleHandle = { api, doc: open.doc, provider: open.provider, binding: made, saved: open.saved };
    window.kanvas = handle;
    onHandle({ follow });
    return () => {
      onHandle(null);
      stopView();
      follow.destroy();
      for (const stop of off) stop();
      // The session may have ended the binding already, before the connection.
      if (session.release(made)) made.detach();
      binding.current = null;
      if (window.kanvas === handle) delete window.kanvas;
    };
  }, [api, onFollowing, onHandle, onPeers, open, room.id, session, userId]);

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

  // Excalidraw's own Ctrl+O and Ctrl+S work on its scene, ours on the document.
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey || document.querySelector("dialog[open]")) return;
      const key = event.key.toLowerCase();
      if (key !== "s" && key !== "o") return;
      event.preventDefault();
      event.stopPropagation();
      if (key === "s") void exportFile();
      else if (!props.frozen) void importFile();
    };
    window.addEventListener("keydown", onKey, { capture: true });
    return () => window.removeEventListener("keydown", onKey, { capture: true });
  }, [exportFile, importFile, props.frozen]);

  const onDropCapture = (event: DragEvent<HTMLDivElement>) => {
    if (passedOn.has(event.nativeEvent) || event.dataTransfer.files.length === 0) return;
    const file = event.dataTransfer.files[0];
    if (!file) return;
    const drawing = /\.(excalidraw|json)$/i.test(file.name);
    if (!drawing && !/^image\/(png|svg\+xml)$/.test(file.type)) return;
    event.preventDefault();
    event.stopPropagation();
    if (props.frozen) return;
    const { target, clientX, clientY } = event;
    void (async () => {
      if (drawing || (await carriesScene(file))) {
        await offer(file);
        return;
      }
      const data = new DataTransfer();
      data.items.add(file);
      const again = new globalThis.DragEvent("drop", { bubbles: true, cancelable: true, clientX, clientY, dataTransfer: data });
      passedOn.add(again);
      target.dispatchEvent(again);
    })();
  };

  const receive = useCallback((it: ExcalidrawImperativeAPI) => {
    // Handed out during the editor's construction, when nothing may be set yet.
    queueMicrotask(() => setApi(it));
  }, []);

  const onChange = useCallback<NonNullable<ExcalidrawProps["onChange"]>>((elements, appState, files) => {
    binding.current?.onChange(elements, appState, files);
  }, []);
  const onPointerUpdate = useCallback<NonNullable<ExcalidrawProps["onPointerUpdate"]>>((update) => {
    binding.current?.onPointerUpdate(update);
  }, []);

  const menu = useMemo(
    () => (
      <MainMenu>
        <MainMenu.Item icon={<UploadIcon />} shortcut="Ctrl+O" data-testid="menu-import" onSelect={() => void importFile()}>
          Import a drawing…
        </MainMenu.Item>
        <MainMenu.Item icon={<DownloadIcon />} shortcut="Ctrl+S" data-testid="menu-export" onSelect={() => void exportFile()}>
          Export as .excalidraw
        </MainMenu.Item>
        <MainMenu.DefaultItems.SaveAsImage />
        <MainMenu.DefaultItems.SearchMenu />
        <MainMenu.DefaultItems.Help />
        <MainMenu.DefaultItems.ClearCanvas />
        <MainMenu.Separator />
        <MainMenu.Item icon={<LinkIcon />} onSelect={props.onCopyLink}>
          Copy the room's link
        </MainMenu.Item>
        <MainMenu.Item icon={theme === "dark" ? <SunIcon /> : <MoonIcon />} onSelect={() => choose(theme === "dark" ? "light" : "dark")}>
          {theme === "dark" ? "Light mode" : "Dark mode"}
        </MainMenu.Item>
        <MainMenu.Separator />
        <MainMenu.DefaultItems.ChangeCanvasBackground />
      </MainMenu>
    ),
    [exportFile, importFile, props.onCopyLink, theme],
  );

  return (
    <div className="editor" ref={frame} onDropCapture={onDropCapture} data-testid="editor">
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
        validateEmbeddable={false}
        UIOptions={UI_OPTIONS}
      >
        {menu}
      </Excalidraw>
      {offered && (
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
