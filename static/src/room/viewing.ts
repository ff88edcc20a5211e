/**
 * A connection of somebody who may look, not edit: nothing of the document leaves this page.
 *
 * Owns: holding back what y-websocket would send of the document: updates, and answers to the server's sync step 1.
 * Presence goes on. What is held back is sent by the next sync, once it may be. Source: y-websocket 3.1
 * (_updateHandler, messageHandlers), y-protocols/sync.js.
 */
import * as encoding from "lib0/encoding";
import type { WebsocketProvider } from "y-websocket";

const SYNC = 0;

export class Viewing {
  readonly #provider: WebsocketProvider;
  #isOn = false;

  /** Create it before `connect()`, and before whatever else listens to sync messages. */
  constructor(provider: WebsocketProvider) {
    this.#provider = provider;
    const inner = provider.messageHandlers[SYNC]!;
    provider.messageHandlers[SYNC] = (encoder, decoder, of, fromSocket, type) => {
      inner(this.#isOn ? encoding.createEncoder() : encoder, decoder, of, fromSocket, type);
    };
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  set isOn(on: boolean) {
    if (on === this.#isOn) return;
    this.#isOn = on;
    const { doc, _updateHandler: send } = this.#provider;
    if (on) doc.off("update", send);
    else doc.on("update", send);
  }
}
