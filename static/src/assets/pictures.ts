/**
 * Which form of each picture the canvas shows: thumbnails far away, the web size near, the original where it is needed.
 *
 * Owns: when a larger form is fetched and when one is let go, whole pictures for exports, and the pause before a crop.
 * Does not own: the choice (renditions.ts), where forms come from (room/assets.ts), the swap (swap.ts).
 * Rules: never in the middle of a gesture; what fails is tried at the next look; a board of 500 photos decodes the
 * originals of those that fill the screen.
 */
import type { ExcalidrawElement, ExcalidrawImageElement } from "@excalidraw/excalidraw/element/types";
import type { AppState, BinaryFileData, DataURL, ExcalidrawImperativeAPI } from "@excalidraw/excalidraw/types";
import type { Assets, Picture } from "../room/assets";
import { isMore, neededForm, toShrink, type Seen, type Shown } from "./renditions";
import { replaceBytes, swapPicture } from "./swap";

/** A look waits until scrolling and zooming have come to rest. */
const REST_MS = 160;
/** Larger forms kept beyond those in sight. */
const KEEP = 24;
const FETCHES_AT_ONCE = 4;
/** Of these selected at once the whole is made ready, so that copying takes it along. */
const SELECTED_MOST = 12;
const RETRY_MS = 15_000;

interface Known {
  /** Of the smallest form that was shown: to go back to. */
  thumb: Picture | null;
  seenAt: number;
  failedAt: number;
}

export class Pictures {
  readonly #api: ExcalidrawImperativeAPI;
  readonly #assets: Assets;
  readonly #known = new Map<string, Known>();
  readonly #busy = new Set<string>();
  readonly #off: (() => void)[];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #selected: AppState["selectedElementIds"] | null = null;

  constructor(api: ExcalidrawImperativeAPI, assets: Assets) {
    this.#api = api;
    this.#assets = assets;
    this.#off = [
      api.onChange((_elements, state) => this.#onChange(state)),
      api.onScrollChange(() => this.#soon()),
    ];
    const sharper = window.matchMedia("(resolution: 1dppx)");
    const soon = () => this.#soon();
    sharper.addEventListener("change", soon);
    this.#off.push(() => sharper.removeEventListener("change", soon));
    this.#soon();
  }

  destroy(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const stop of this.#off) stop();
  }

  /** Puts whole pictures where exports look for them. Answers how many could not be had. */
  async makeWhole(elements: readonly ExcalidrawElement[]): Promise<number> {
    const ids = new Set(imagesOf(elements).map((element) => element.fileId));
    const wanting = [...ids].filter((id) => !["full", undefined].includes(this.#assets.shownForm(id)));
    let missing = 0;
    await inTurns(wanting, FETCHES_AT_ONCE, async (id) => {
      const whole = await this.#assets.whole(id).catch(() => null);
      if (whole) replaceBytes(this.#api.getFiles(), id, whole);
      else missing += 1;
    });
    return missing;
  }

  #onChange(state: AppState): void {
    if (state.croppingElementId) this.#beforeCrop(state.croppingElementId);
    if (state.selectedElementIds !== this.#selected) {
      this.#selected = state.selectedElementIds;
      const chosen = this.#api.getSceneElements().filter(({ id }) => state.selectedElementIds[id]);
      const images = imagesOf(chosen);
      if (images.length > 0 && images.length <= SELECTED_MOST) void this.makeWhole(images);
    }
    this.#soon();
  }

  #soon(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), REST_MS);
  }

  /** A crop counts in pixels of what is shown: it begins when that is the original. */
  #beforeCrop(elementId: string): void {
    const [element] = imagesOf(this.#api.getSceneElements().filter(({ id }) => id === elementId));
    const shown = element && this.#assets.shownForm(element.fileId);
    if (!element || shown === undefined || shown === "full") return;
    this.#api.updateScene({ appState: { croppingElementId: null }, captureUpdate: "NEVER" });
    void this.#show(element.fileId, "full").then((done) => {
      if (!done || this.#closed || !this.#api.getAppState().selectedElementIds[elementId]) return;
      this.#api.updateScene({ appState: { croppingElementId: elementId }, captureUpdate: "NEVER" });
    });
  }

  #look(): void {
    const state = this.#api.getAppState();
    const wants: { id: string; needed: Shown; px: number }[] = [];
    const seen: Seen[] = [];
    const now = performance.now();
    for (const [id, { px, cropped, inSight }] of this.#needs(state)) {
      const shown = this.#assets.shownForm(id);
      if (shown === undefined || !this.#api.getFiles()[id]) continue;
      const known = this.#known.get(id) ?? { thumb: null, seenAt: 0, failedAt: -Infinity };
      this.#known.set(id, known);
      const needed = neededForm(px, cropped);
      if (inSight) known.seenAt = now;
      if (inSight && isMore(needed, shown) && now - known.failedAt > RETRY_MS) wants.push({ id, needed, px });
      seen.push({ id, shown, needed, inSight, seenAt: known.seenAt });
    }
    wants.sort((a, b) => b.px - a.px);
    void inTurns(wants, FETCHES_AT_ONCE, async ({ id, needed }) => void (await this.#show(id, needed)));
    for (const id of toShrink(seen, KEEP)) {
      const cropped = imagesOf(this.#api.getSceneElements()).some((element) => element.fileId === id && element.crop !== null);
      if (!cropped) void this.#shrink(id);
    }
  }

  async #shrink(id: string): Promise<void> {
    if (this.#busy.has(id)) return;
    this.#busy.add(id);
    try {
      const thumb = this.#known.get(id)?.thumb ?? (await this.#assets.picture(id, "thumb"));
      if (thumb?.form === "thumb" && !this.#closed) await this.#put(id, thumb);
    } catch {
      // It stays as it is: what can't be had small now may be later.
    } finally {
      this.#busy.delete(id);
    }
  }

  /** The largest use of each file. */
  #needs(state: AppState): Map<string, { px: number; cropped: boolean; inSight: boolean }> {
    const needs = new Map<string, { px: number; cropped: boolean; inSight: boolean }>();
    const { scrollX, scrollY, zoom, width, height } = state;
    const scale = zoom.value * window.devicePixelRatio;
    for (const element of imagesOf(this.#api.getSceneElements())) {
      // A rotated one may reach further than its box.
      const reach = Math.max(element.width, element.height) / 2;
      const x = element.x + element.width / 2;
      const y = element.y + element.height / 2;
      const inSight =
        x + reach > -scrollX && x - reach < -scrollX + width / zoom.value && y + reach > -scrollY && y - reach < -scrollY + height / zoom.value;
      const known = needs.get(element.fileId);
      const px = inSight ? reach * 2 * scale : 0;
      needs.set(element.fileId, {
        px: Math.max(px, known?.px ?? 0),
        cropped: element.crop !== null || known?.cropped === true,
        inSight: inSight || known?.inSight === true,
      });
    }
    return needs;
  }

  async #show(id: string, form: Shown): Promise<boolean> {
    if (this.#busy.has(id)) return false;
    this.#busy.add(id);
    try {
      const picture = await this.#assets.picture(id, form);
      if (picture && !this.#closed) return await this.#put(id, picture);
      throw new Error("nobody has it yet");
    } catch {
      const known = this.#known.get(id);
      if (known) known.failedAt = performance.now();
      return false;
    } finally {
      this.#busy.delete(id);
    }
  }

  async #put(id: string, { dataURL, form }: Picture): Promise<boolean> {
    const before = this.#api.getFiles()[id];
    const known = this.#known.get(id);
    if (known && before && this.#assets.shownForm(id) === "thumb") known.thumb = { dataURL: before.dataURL, form: "thumb" };
    const file = { ...before, id, dataURL, mimeType: mimeOf(dataURL), created: before?.created ?? Date.now() } as BinaryFileData;
    await swapPicture(this.#api, file);
    this.#assets.shows(id, form);
    return true;
  }
}

function imagesOf(elements: readonly ExcalidrawElement[]): (ExcalidrawImageElement & { fileId: string })[] {
  return elements.filter(
    (element): element is ExcalidrawImageElement & { fileId: never } => element.type === "image" && !element.isDeleted && element.fileId !== null,
  );
}

function mimeOf(url: DataURL): string {
  return /^data:([^;,]+)/.exec(url)?.[1] ?? "image/png";
}

async function inTurns<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
