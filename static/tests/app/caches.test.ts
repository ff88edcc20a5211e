/** Names of the browser's copies: one for each user, room and epoch. */
import { describe, expect, it } from "vitest";
import { assetsDatabaseName, databaseName, parseDatabaseName } from "../../src/room/caches";

describe("databaseName", () => {
  it("tells user, room and epoch apart", () => {
    expect(databaseName({ user: "u1", room: "r1", epoch: 3 })).toBe("kanvas:u1:r1:3");
  });

  it.each([
    { user: "u1", room: "r1", epoch: 0 },
    { user: "a:b", room: "c%d", epoch: 12 },
    { user: "guest/ü", room: "x y", epoch: 7 },
  ])("comes back whole: %j", (name) => {
    expect(parseDatabaseName(databaseName(name))).toEqual(name);
  });

  it("can't be made to look like another's", () => {
    const mine = databaseName({ user: "a", room: "b:1", epoch: 2 });
    const theirs = databaseName({ user: "a:b", room: "1", epoch: 2 });
    expect(mine).not.toBe(theirs);
  });

  it.each(["", "kanvas", "kanvas:u:r", "kanvas:u:r:x", "kanvas:u:r:1:2", "other:u:r:1", "kanvas::r:1", "kanvas:%:r:1", assetsDatabaseName("u1")])(
    "leaves alone what is not a room: %j",
    (name) => {
      expect(parseDatabaseName(name)).toBeNull();
    },
  );
});
