/** Sizes and places of new pictures, which form is shown, and which files and links are ours. */
import { describe, expect, it } from "vitest";
import { digest } from "lib0/hash/sha256";
import { hashFile } from "../../src/assets/hash";
import { endingOf, kindOf, labelOf, nameOf, sizeWords, typeOf } from "../../src/assets/kinds";
import { assetLink, linkedAsset } from "../../src/assets/links";
import { arrange, fit, reshape, type Box } from "../../src/assets/placement";
import { formOf, isMore, neededForm, toShrink } from "../../src/assets/renditions";
import { matching, merge } from "../../src/assets/useAssetList";
import { toHex } from "../../src/room/bytes";
import type { Asset } from "../../src/api/assets";

const VIEW = { width: 1000, height: 800, zoom: 1 };

const apart = (a: Box, b: Box) =>
  a.x + a.width <= b.x + 0.01 || b.x + b.width <= a.x + 0.01 || a.y + a.height <= b.y + 0.01 || b.y + b.height <= a.y + 0.01;

describe("placement", () => {
  it("keeps the natural size where that fits, else the shape", () => {
    expect(fit({ width: 300, height: 200 }, VIEW)).toEqual({ width: 300, height: 200 });
    expect(fit({ width: 6000, height: 4000 }, VIEW)).toEqual({ width: 600, height: 400 });
    expect(fit({ width: 1000, height: 8000 }, VIEW)).toEqual({ width: 50, height: 400 });
    expect(fit({ width: 1, height: 1 }, VIEW)).toEqual({ width: 16, height: 16 });
    expect(fit({ width: 6000, height: 4000 }, { width: 2000, height: 1600, zoom: 0.5 }).width).toBe(1200);
  });

  it("puts one in the middle, some in a row, many in a sheet, none over another", () => {
    expect(arrange([{ width: 100, height: 50 }], { x: 10, y: 20 }, VIEW)).toEqual([{ x: -40, y: -5, width: 100, height: 50 }]);
    const row = arrange([{ width: 100, height: 50 }, { width: 100, height: 80 }], { x: 0, y: 0 }, VIEW);
    expect(row.map((box) => box.y + box.height / 2)).toEqual([0, 0]);
    expect(row[1]!.x - row[0]!.x - row[0]!.width).toBe(24);
    const sizes = Array.from({ length: 20 }, (_, at) => ({ width: 300 + (at % 5) * 60, height: 400 - (at % 3) * 90 }));
    const sheet = arrange(sizes, { x: 500, y: 400 }, VIEW);
    expect(sheet.map(({ width, height }) => ({ width, height }))).toEqual(sizes);
    for (const one of sheet) for (const other of sheet) expect(one === other || apart(one, other)).toBe(true);
    const left = Math.min(...sheet.map(({ x }) => x));
    const right = Math.max(...sheet.map(({ x, width }) => x + width));
    const top = Math.min(...sheet.map(({ y }) => y));
    const bottom = Math.max(...sheet.map(({ y, height }) => y + height));
    expect((right - left) / (bottom - top)).toBeGreaterThan(0.6);
    expect((right - left) / (bottom - top)).toBeLessThan(1.7);
    expect(arrange([], { x: 0, y: 0 }, VIEW)).toEqual([]);
  });

  it("gives a box another shape around the same middle", () => {
    const box = reshape({ x: 0, y: 0, width: 400, height: 100 }, { width: 1000, height: 1000 });
    expect(box).toEqual({ x: 100, y: -50, width: 200, height: 200 });
  });
});

describe("renditions", () => {
  it("chooses the smallest form that looks right", () => {
    expect(neededForm(200, false)).toBe("thumb");
    expect(neededForm(290, false)).toBe("thumb");
    expect(neededForm(300, false)).toBe("web");
    expect(neededForm(2300, false)).toBe("web");
    expect(neededForm(2400, false)).toBe("full");
    // A crop counts in pixels of the original.
    expect(neededForm(20, true)).toBe("full");
    expect(isMore("full", "web") && isMore("web", "thumb") && !isMore("thumb", "thumb")).toBe(true);
  });

  it("sees by its weight that a thumbnail is the picture itself", () => {
    expect(formOf("thumb", 12_000)).toBe("thumb");
    expect(formOf("thumb", 6_000_000)).toBe("full");
    expect(formOf("web", 900_000)).toBe("web");
  });

  it("lets go of what is out of sight, the longest unseen first, and of nothing that is looked at", () => {
    const seen = (id: string, inSight: boolean, seenAt: number, shown: "web" | "full" | "thumb" = "web", needed: "web" | "thumb" = "thumb") => ({
      id, shown, needed, inSight, seenAt,
    });
    const pictures = [seen("a", false, 3), seen("b", false, 1), seen("c", true, 9, "web", "web"), seen("d", false, 2), seen("e", false, 0, "thumb")];
    expect(toShrink(pictures, 4)).toEqual([]);
    expect(toShrink(pictures, 2)).toEqual(["b", "d"]);
    expect(toShrink(pictures, 0)).toEqual(["b", "d", "a"]);
    expect(toShrink([seen("x", true, 1), seen("y", false, 9)], 1)).toEqual(["y"]);
  });
});

describe("files", () => {
  it("knows what it takes by type or name", () => {
    const of = (name: string, type = "") => kindOf({ name, type });
    expect([of("a.jpg"), of("A.HEIC"), of("x", "image/webp"), of("logo.svg", "image/svg+xml")]).toEqual(Array(4).fill("picture"));
    expect([of("a.pdf"), of("clip.MP4"), of("b.webm", "video/webm")]).toEqual(Array(3).fill("attachment"));
    expect([of("a.excalidraw"), of("a.json", "application/json"), of("a.excalidrawlib")]).toEqual(Array(3).fill("drawing"));
    expect([of("a.txt", "text/plain"), of("a.exe"), of(""), of("photo.jpg.exe")]).toEqual(Array(4).fill("other"));
    expect(typeOf({ name: "a.heic", type: "" })).toBe("image/heic");
    expect(typeOf({ name: "a.jpg", type: "image/jpg" })).toBe("image/jpeg");
    expect(nameOf({ name: "", type: "image/png" })).toBe("pasted.png");
    expect(endingOf("a.tar.GZ")).toBe("gz");
    expect([labelOf("application/pdf"), labelOf("image/svg+xml"), labelOf("image/x-icon")]).toEqual(["PDF", "SVG", "ICON"]);
    expect([0, 999, 1000, 9_940, 9_950, 999_499, 999_500, 6_200_000, 2e9].map(sizeWords)).toEqual(
      ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "6.2 MB", "2.0 GB"],
    );
  });

  it("embeds links to our own assets only", () => {
    const id = "01m7zfsw6q9btvt5b3e6jyj5zh";
    const origin = "https://draw.example.org";
    expect(linkedAsset(assetLink(id), origin)).toBe(id);
    expect(linkedAsset(`${origin}/api/v1/assets/${id}`, origin)).toBe(id);
    for (const link of [
      null, "", "https://example.org/", `https://evil.example${assetLink(id)}`, `//evil.example${assetLink(id)}`, `${assetLink(id)}/metadata`,
      `${assetLink(id)}?x=1`, `/api/v1/assets/../rooms`, `/api/v1/assets/${id}x`, `javascript:${assetLink(id)}`, `${origin}.evil.example${assetLink(id)}`,
    ]) {
      expect(linkedAsset(link, origin)).toBe(null);
    }
  });

  it("hashes in pieces as in one", async () => {
    for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 5_000_000]) {
      const bytes = Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >> 8)) % 256);
      const whole = toHex(digest(bytes));
      expect(await hashFile(new Blob([bytes]))).toBe(whole);
      expect(await hashFile(new Blob([bytes]), undefined, -1)).toBe(whole);
    }
    const abort = new AbortController();
    abort.abort();
    await expect(hashFile(new Blob(["x"]), abort.signal)).rejects.toMatchObject({ name: "AbortError" });
  });

  it("lists pages without repeating and finds by every word", () => {
    const asset = (id: string, filename: string) => ({ id, filename }) as Asset;
    const first = [asset("3", "Harbour at dawn.jpg"), asset("2", "plan.pdf")];
    expect(merge(first, [asset("2", "plan.pdf"), asset("1", "old.png")], true).map(({ id }) => id)).toEqual(["3", "2", "1"]);
    expect(merge(first, [asset("4", "new.png"), asset("3", "Harbour at dawn.jpg")], false).map(({ id }) => id)).toEqual(["4", "3", "2"]);
    expect(matching(first, "DAWN harb").map(({ id }) => id)).toEqual(["3"]);
    expect(matching(first, " ")).toHaveLength(2);
    expect(matching(first, "dusk")).toEqual([]);
  });
});
