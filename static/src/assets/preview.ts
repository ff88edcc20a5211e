/**
 * A smaller copy of a large picture, made here: what the canvas shows of a file until the server has its own forms.
 *
 * One at a time: twenty photos of twelve megapixels at once would be a gigabyte of pixels.
 */
import { WEB_PX } from "./renditions";
import type { Size } from "./placement";

/** Files below this, and of no more pixels than the web form, are shown as they are. */
const SMALL_BYTES = 1024 * 1024;
const QUALITY = 0.86;

let last: Promise<unknown> = Promise.resolve();

/** The size a picture is shown in (EXIF orientation counted), or null when this browser can't read it. */
export async function naturalSize(file: Blob): Promise<Size | null> {
  const url = URL.createObjectURL(file);
  try {
    const image = await load(url);
    // An SVG without a size of its own has none here in some browsers.
    return image.naturalWidth > 0 && image.naturalHeight > 0 ? { width: image.naturalWidth, height: image.naturalHeight } : null;
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Null when the file itself is small enough, a drawing (SVG), or not readable here. */
export function makePreview(file: Blob): Promise<Blob | null> {
  const work = last.then(() => reduce(file));
  last = work.catch(() => undefined);
  return work;
}

async function reduce(file: Blob): Promise<Blob | null> {
  if (file.type === "image/svg+xml" || file.type === "image/gif") return null;
  const size = await naturalSize(file);
  if (!size) return null;
  const longest = Math.max(size.width, size.height);
  if (longest <= WEB_PX && file.size <= SMALL_BYTES) return null;
  const scale = Math.min(1, WEB_PX / longest);
  const width = Math.max(1, Math.round(size.width * scale));
  const height = Math.max(1, Math.round(size.height * scale));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const url = URL.createObjectURL(file);
  try {
    const image = await load(url);
    await image.decode();
    const context = canvas.getContext("2d");
    if (!context) return null;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
  // WebP keeps what is see-through; a browser that can't write it gives a PNG.
  return new Promise((resolve) => canvas.toBlob(resolve, "image/webp", QUALITY));
}

export function load(url: string): Promise<HTMLImageElement> {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("The picture can't be read."));
    image.src = url;
  });
}
