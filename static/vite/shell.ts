/**
 * What the built pages need around the bundle: a theme script that runs before the first paint, and the
 * service worker with the list of files that make a reload work offline.
 *
 * The content security policy forbids inline scripts, so the theme script is a file of its own, named by its hash.
 * The worker's version is the hash of everything it lists: same build, same bytes, no needless update.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import type { Plugin } from "vite";

const hash = (content: string | Uint8Array): string =>
  createHash("sha256").update(content).digest("hex").slice(0, 10);

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Kept out of the list: the worker itself, maps, and the 12 MB of CJK glyphs (cached once they are used). */
const NOT_PRECACHED = [/^sw\.js$/, /\.map$/, /^fonts\/Xiaolai\//];

/** Vite plugin: inject `themeSource` as a blocking script, write `sw.js` from `workerSource`. */
export function shell(options: { themeSource: string; workerSource: string }): Plugin {
  let outDir = "";
  const theme = readFileSync(options.themeSource, "utf8");
  const themeName = `static/theme-${hash(theme)}.js`;
  return {
    name: "kanvas:shell",
    configResolved(config) {
      outDir = resolve(config.root, config.build.outDir);
    },
    configureServer(server) {
      server.middlewares.use(`/${themeName}`, (_request, response) => {
        response.setHeader("Content-Type", "text/javascript");
        response.end(theme);
      });
    },
    generateBundle() {
      this.emitFile({ type: "asset", fileName: themeName, source: theme });
    },
    transformIndexHtml: () => [
      { tag: "script", attrs: { src: `/${themeName}` }, injectTo: "head-prepend" },
    ],
    closeBundle: {
      order: "post",
      sequential: true,
      handler() {
        const files = filesUnder(outDir)
          .map((path) => relative(outDir, path).split(sep).join("/"))
          .filter((name) => !NOT_PRECACHED.some((pattern) => pattern.test(name)))
          .sort();
        const version = hash(files.map((name) => `${name} ${hash(readFileSync(join(outDir, name)))}`).join("\n"));
        const paths = files.map((name) => (name === "index.html" ? "/" : `/${name}`));
        const worker = readFileSync(options.workerSource, "utf8")
          .replace('"__VERSION__"', JSON.stringify(version))
          .replace("[/* __FILES__ */]", JSON.stringify(paths));
        writeFileSync(join(outDir, "sw.js"), worker);
      },
    },
  };
}
