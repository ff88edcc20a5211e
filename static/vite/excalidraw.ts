/**
 * Makes Excalidraw self-contained: nothing it can do asks another origin for anything, and every button has a name.
 *
 * Owns: the edits to Excalidraw's published bundle (its font CDN, its cloud addresses, the mermaid and
 * web-embed menu entries, a missing label, the languages our interface does not speak) and the copy of its fonts.
 * Rule: every edit must find what it edits, so that an upgrade that moves it fails the build, not the promise.
 */
import { cpSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import type { Plugin } from "vite";

interface Edit {
  readonly what: string;
  /** Stands in what is to be edited. Looked for first: the patterns are slow on a megabyte of base64. */
  readonly sign: string;
  readonly find: RegExp;
  readonly replace: string;
}

const EDITS: readonly Edit[] = [
  {
    what: "the address fonts fall back to",
    sign: "https://esm.sh/",
    find: /`https:\/\/esm\.sh\/\$\{.*?\}\/dist\/prod\/`/g,
    replace: "window.location.origin",
  },
  {
    what: "cloud addresses of excalidraw.com",
    sign: "excalidraw.com",
    find: /"https?:\/\/(?:[a-z0-9-]+\.)*excalidraw\.com[^"]*"/g,
    replace: '"about:blank"',
  },
  {
    what: "the cloud function that takes library submissions",
    sign: "cloudfunctions.net",
    find: /"https:\/\/[a-z0-9-]+\.cloudfunctions\.net[^"]*"/g,
    replace: '"about:blank"',
  },
  {
    what: "the cloud project and the key of excalidraw.com",
    sign: "VITE_APP_FIREBASE_CONFIG",
    find: /(VITE_APP_(?:FIREBASE_CONFIG|PLUS_EXPORT_PUBLIC_KEY)):(?:'[^']*'|`[^`]*`)/g,
    replace: '$1:""',
  },
  {
    what: "the web-embed entry of the tools menu (an iframe is another origin)",
    sign: "toolbar-embeddable",
    find: /[\w$]+\([\w$.]+\.Item,\{onSelect:\(\)=>[\w$]+\.setActiveTool\(\{type:"embeddable"\}\)[^}]*\}\),/g,
    replace: "",
  },
  {
    what: "the Generate heading of the tools menu",
    sign: '"Generate"',
    find: /[\w$]+\("div",\{style:\{margin:"6px 0",fontSize:14,fontWeight:600\},children:"Generate"\}\),/g,
    replace: "",
  },
  {
    what: "the mermaid entry of the tools menu",
    sign: 'tab:"mermaid"',
    find: /[\w$]+\([\w$.]+\.Item,\{onSelect:\(\)=>[\w$]+\.setOpenDialog\(\{name:"ttd",tab:"mermaid"\}\)[^}]*\}\),/g,
    replace: "",
  },
  {
    what: "the menu's button, which has no name for screen readers",
    sign: '"main-menu-trigger"',
    find: /"data-testid":"main-menu-trigger"/g,
    replace: '$&,"aria-label":"Menu",title:"Menu"',
  },
  {
    what: "languages other than English",
    sign: "./locales/",
    find: /"\.\/locales\/(?!en\.json|percentages\.json)[A-Za-z-]+\.json":\(\)=>import\("[^"]+"\),?/g,
    replace: "",
  },
];

/** The Vite plugin. `packageDir` is the folder of @excalidraw/excalidraw. */
export function selfContainedExcalidraw(packageDir: string): Plugin {
  const prod = realpathSync(resolve(packageDir, "dist/prod"));
  const found = new Set<string>();
  let outDir = "";
  return {
    name: "kanvas:excalidraw",
    apply: "build",
    enforce: "pre",
    configResolved(config) {
      outDir = resolve(config.root, config.build.outDir);
    },
    transform(code, id) {
      if (!id.startsWith(prod) || !/\.js(\?|$)/.test(id)) return null;
      let edited = code;
      for (const edit of EDITS) {
        if (!edited.includes(edit.sign)) continue;
        const next = edited.replace(edit.find, edit.replace);
        if (next !== edited) found.add(edit.what);
        edited = next;
      }
      return edited === code ? null : { code: edited, map: null };
    },
    buildEnd(error) {
      const lost = EDITS.filter((edit) => !found.has(edit.what)).map((edit) => edit.what);
      if (!error && lost.length > 0) {
        this.error(`Excalidraw's bundle changed: did not find ${lost.join("; ")}. Revise vite/excalidraw.ts.`);
      }
    },
    closeBundle() {
      cpSync(resolve(prod, "fonts"), resolve(outDir, "fonts"), { recursive: true });
    },
  };
}
