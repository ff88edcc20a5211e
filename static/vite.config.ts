/** The build of the browser client: Vite, React, a self-contained Excalidraw, a service worker. */
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { selfContainedExcalidraw } from "./vite/excalidraw.ts";
import { shell } from "./vite/shell.ts";

const here = dirname(fileURLToPath(import.meta.url));
const server = process.env["KANVAS_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  root: here,
  base: "/",
  plugins: [
    react(),
    selfContainedExcalidraw(resolve(here, "node_modules/@excalidraw/excalidraw")),
    shell({ themeSource: resolve(here, "src/theme.js"), workerSource: resolve(here, "sw/sw.js") }),
  ],
  resolve: {
    alias: {
      // 3.5 MB of diagram parsers for a pasted text; the stub throws and the text is pasted as text.
      "@excalidraw/mermaid-to-excalidraw": resolve(here, "src/room/mermaid.ts"),
    },
    // One copy: two would break Yjs's instanceof checks.
    dedupe: ["yjs", "lib0", "y-protocols", "react", "react-dom"],
  },
  define: { "process.env.IS_PREACT": JSON.stringify("false") },
  build: {
    outDir: "dist",
    assetsDir: "static",
    target: "es2022",
    emptyOutDir: true,
    chunkSizeWarningLimit: 2500,
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      "/api": server,
      "/parties": { target: server, ws: true },
      "/blobs": server,
    },
  },
});
