/** What is told beside the document reaches everybody who wants it: comments and people. */
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import { describe, expect, it } from "vitest";
import type { WebsocketProvider } from "y-websocket";
import { BESIDE, hearBeside } from "../../src/room/beside";
import { tellsOfPeople } from "../../src/share/news";

type Handler = (encoder: unknown, decoder: decoding.Decoder) => void;

function bare(): { provider: WebsocketProvider; say: (text: string) => void } {
  const provider = { messageHandlers: [] as unknown[] };
  const say = (text: string) => {
    const encoder = encoding.createEncoder();
    encoding.writeVarString(encoder, text);
    (provider.messageHandlers[BESIDE] as Handler)(null, decoding.createDecoder(encoding.toUint8Array(encoder)));
  };
  return { provider: provider as unknown as WebsocketProvider, say };
}

describe("beside the document", () => {
  it("X5: an object is told, and what is no JSON is not", () => {
    const { provider, say } = bare();
    const told: unknown[] = [];
    hearBeside(provider, (one) => told.push(one));
    say('{"kind":"people"}');
    say("{");
    say('{"kind":"comment","revision":3}');
    expect(told).toEqual([{ kind: "people" }, { kind: "comment", revision: 3 }]);
    expect(told.map(tellsOfPeople)).toEqual([true, false]);
  });

  it("has one listener: a second one would silence the first", () => {
    const { provider } = bare();
    hearBeside(provider, () => undefined);
    expect(() => hearBeside(provider, () => undefined)).toThrow("already");
  });
});
