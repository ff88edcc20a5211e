/** Imported before Excalidraw: tells it that its fonts are ours, at /fonts. */
declare global {
  interface Window {
    EXCALIDRAW_ASSET_PATH?: string | string[];
  }
}

window.EXCALIDRAW_ASSET_PATH = "/";

export {};
