/**
 * The binding between one Excalidraw editor and one room's Yjs document: the whole public surface.
 *
 * How the room page uses it (the editor stays outside StrictMode, its constructor hands out the API):
 *
 *     const provider = new WebsocketProvider(url, room, doc, { protocols: ["kanvas", token], disableBc: true, connect: false });
 *     sendOwnAwarenessOnly(provider);                       // before connect()
 *     const saved = new Saved(provider);                    // before connect() and before IndexedDB loads
 *     const losses = new Losses(doc, saved);                // likewise
 *     const binding = new Binding({ api, doc, awareness: provider.awareness, color: "#e03131", assets, losses });
 *     binding.attach();                                     // any time; it waits until the editor is ready
 *     <Excalidraw isCollaborating onChange={binding.onChange} onPointerUpdate={binding.onPointerUpdate} ... />
 *     binding.setViewport(getVisibleSceneBounds(appState))  // from onScrollChange, while somebody follows me
 *     binding.subscribePeers((peers) => ...)                // people bar, follow mode
 *     saved.subscribe((status) => ...)                      // the saved indicator
 *     binding.detach(); losses.destroy(); saved.destroy();  // on leaving; detach() flushes
 *
 * What it owns: element JSON to groups and back, what is written when, what is shown of others. What it
 * does not: the socket, tokens, IndexedDB, the editor's looks. Source: CLIENT.md, DESIGN.md "The document".
 */
export { Binding, type BindingOptions, type PointerUpdate } from "./binding";
export { Losses, type Durability } from "./losses";
export { Saved, type SavedStatus } from "./saved";
export { sendOwnAwarenessOnly, type Bounds } from "./presence";
export { colorOf, type Peer } from "./peers";
export { readScene, readBackground } from "./document";
export type { AssetStore } from "./assets";
export type { Clock } from "./clock";
