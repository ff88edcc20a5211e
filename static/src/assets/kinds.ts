/**
 * Which files a room takes, and as what. Pure.
 *
 * Does not own the last word: the server looks at the bytes. A browser knows only a name and a type, and for some files
 * (HEIC on most systems) not even a type.
 */

/** `picture`: an image on the canvas; `attachment`: a card or a video; `drawing`: elements; `other`: nothing we take. */
export type Kind = "picture" | "attachment" | "drawing" | "other";

const TYPES: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  jfif: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  avif: "image/avif",
  bmp: "image/bmp",
  ico: "image/x-icon",
  svg: "image/svg+xml",
  heic: "image/heic",
  heif: "image/heic",
  pdf: "application/pdf",
  mp4: "video/mp4",
  m4v: "video/mp4",
  webm: "video/webm",
};
const SAME: Readonly<Record<string, string>> = {
  "image/jpg": "image/jpeg",
  "image/pjpeg": "image/jpeg",
  "image/heif": "image/heic",
  "image/vnd.microsoft.icon": "image/x-icon",
};
const TAKEN = new Set(Object.values(TYPES));

/** For a file input. */
export const ACCEPT = [...TAKEN, ...Object.keys(TYPES).map((ending) => `.${ending}`)].join(",");

interface Named {
  readonly name: string;
  readonly type: string;
}

export function endingOf(name: string): string {
  return /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? "";
}

/** The type to announce: the browser's, or what the name says. */
export function typeOf(file: Named): string {
  const given = file.type.split(";")[0]!.trim().toLowerCase();
  const known = SAME[given] ?? given;
  if (TAKEN.has(known)) return known;
  return TYPES[endingOf(file.name)] ?? (known || "application/octet-stream");
}

export function kindOf(file: Named): Kind {
  const ending = endingOf(file.name);
  if (ending === "excalidraw" || ending === "json" || ending === "excalidrawlib") return "drawing";
  return kindOfType(typeOf(file));
}

export function kindOfType(type: string): Kind {
  if (!TAKEN.has(type)) return "other";
  return type.startsWith("image/") ? "picture" : "attachment";
}

export function isVideo(type: string): boolean {
  return type === "video/mp4" || type === "video/webm";
}

/** Whether browsers show it in an <img>: all but HEIC, which the server turns into something they do. */
export function isShownByBrowsers(type: string): boolean {
  return type !== "image/heic";
}

/** A name for something that came without one: from the clipboard, mostly. */
export function nameOf(file: Named): string {
  if (file.name) return file.name;
  const ending = Object.entries(TYPES).find(([, type]) => type === typeOf(file))?.[0] ?? "bin";
  return `pasted.${ending}`;
}

/** What the type is called on a card: PDF, MP4. */
export function labelOf(type: string): string {
  if (type === "image/svg+xml") return "SVG";
  return (type.split("/")[1] ?? type).replace(/^x-/, "").toUpperCase();
}

/** Bytes in words, with the units people see in file managers. */
export function sizeWords(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB"];
  let value = bytes;
  let unit = -1;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
