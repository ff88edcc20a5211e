/** What swap.ts goes around is still there: fails when Excalidraw's version changes, so that somebody looks. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const read = (path: string) => readFileSync(new URL(`../../node_modules/@excalidraw/excalidraw/${path}`, import.meta.url), "utf8");

describe("Excalidraw", () => {
  it("is the version that swap.ts, inserter.ts and useIntake.ts were written for", () => {
    expect(JSON.parse(read("package.json")).version).toBe("0.18.1");
  });

  it("hands out its own record of files, and adds only those that are not in it", () => {
    const source = read("dist/dev/index.js");
    expect(source).toContain("getFiles: () => this.files");
    expect(source).toMatch(/if \(nextFiles\[fileData\.id\]\) \{\s*continue;/);
    expect(source).toContain("this.clearImageShapeCache(addedFiles);");
    expect(source).toContain('"data-testid": `toolbar-${value}`');
  });
});
