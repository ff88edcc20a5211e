/**
 * Scenes as files: what is read from a `.excalidraw` file and how it becomes elements of a room.
 *
 * Pure. Does not own: the reading of files (transfer.ts) or how elements are written (the binding).
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import type { BinaryFiles } from "@excalidraw/excalidraw/types";

export interface Scene {
  readonly elements: readonly ExcalidrawElement[];
  readonly files: BinaryFiles;
  readonly background: string | null;
}

type Loose = Record<string, unknown>;

const isRecord = (value: unknown): value is Loose => value !== null && typeof value === "object" && !Array.isArray(value);

/** Reads the text of a `.excalidraw` file; throws with a sentence for a person. */
export function parseScene(text: string): Scene {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Error("This is not an Excalidraw file: its content can't be read.");
  }
  if (!isRecord(data) || data["type"] !== "excalidraw" || !Array.isArray(data["elements"])) {
    throw new Error("This is not an Excalidraw drawing. Choose a file that ends in .excalidraw.");
  }
  const elements = data["elements"].filter(
    (element): element is ExcalidrawElement =>
      isRecord(element) && typeof element["type"] === "string" && typeof element["id"] === "string" && element["isDeleted"] !== true,
  );
  const state = isRecord(data["appState"]) ? data["appState"] : {};
  const background = state["viewBackgroundColor"];
  return {
    elements,
    files: imagesAmong(data["files"]),
    background: typeof background === "string" ? background : null,
  };
}

/** The files that are images with their bytes; what else a file may carry is left out. */
export function imagesAmong(files: unknown): BinaryFiles {
  if (!isRecord(files)) return {};
  const images = Object.entries(files).filter(
    ([id, file]) => isRecord(file) && file["id"] === id && typeof file["dataURL"] === "string" && /^data:image\//.test(file["dataURL"]),
  );
  return Object.fromEntries(images) as unknown as BinaryFiles;
}

/**
 * The same elements under new ids wherever one is taken, with every reference among them following.
 *
 * References to elements that are not in the list stay: a file is whole, and what it lacks is lacking anyway.
 */
export function withFreeIds(
  elements: readonly ExcalidrawElement[],
  taken: ReadonlySet<string>,
  newId: () => string,
): ExcalidrawElement[] {
  if (!elements.some((element) => taken.has(element.id))) return elements.map((element) => ({ ...element }));
  const ids = new Map(elements.map((element) => [element.id, newId()]));
  const groups = new Map<string, string>();
  const idOf = (id: unknown): unknown => (typeof id === "string" ? (ids.get(id) ?? id) : id);
  const groupOf = (group: string): string => {
    const known = groups.get(group);
    if (known) return known;
    const made = newId();
    groups.set(group, made);
    return made;
  };
  const bound = (binding: unknown): unknown =>
    isRecord(binding) && "elementId" in binding ? { ...binding, elementId: idOf(binding["elementId"]) } : binding;

  return elements.map((element) => {
    const copy: Loose = { ...element, id: idOf(element.id) };
    if ("containerId" in copy) copy["containerId"] = idOf(copy["containerId"]);
    if ("frameId" in copy) copy["frameId"] = idOf(copy["frameId"]);
    if ("startBinding" in copy) copy["startBinding"] = bound(copy["startBinding"]);
    if ("endBinding" in copy) copy["endBinding"] = bound(copy["endBinding"]);
    if (Array.isArray(copy["groupIds"])) copy["groupIds"] = copy["groupIds"].map((group) => groupOf(String(group)));
    if (Array.isArray(copy["boundElements"])) {
      copy["boundElements"] = copy["boundElements"].map((entry: unknown) =>
        isRecord(entry) ? { ...entry, id: idOf(entry["id"]) } : entry,
      );
    }
    return copy as unknown as ExcalidrawElement;
  });
}

/** Without their place in the order: the editor gives them one on top of what is there, in the order of the list. */
export function withoutOrder(elements: readonly ExcalidrawElement[]): ExcalidrawElement[] {
  return elements.map((element) => ({ ...element, index: null }) as ExcalidrawElement);
}

/** A file name from a title: readable, and allowed on every system. */
export function fileName(title: string): string {
  const safe = title
    .normalize("NFC")
    .replace(/[\p{Cc}<>:"/\\|?*]/gu, " ")
    .replace(/\s+/g, " ")
    .trim()
    .replace(/^\.+|[. ]+$/g, "")
    .slice(0, 80);
  return `${safe || "Kanvas"}.excalidraw`;
}
