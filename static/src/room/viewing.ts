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
  isOn = false;

  /** Create it before `connect()`, and before whatever else listens to sync messages. */
  constructor(provider: WebsocketProvider) {
    const inner = provider.messageHandlers[SYNC]!;
    provider.messageHandlers[SYNC] = (encoder, decoder, of, fromSocket, type) => {
      inner(this.isOn ? encoding.createEncoder() : encoder, decoder, of, fromSocket, type);
    };
    const send = provider._updateHandler;
    provider.doc.off("update", send);
    // Under the provider's own name, so that its end takes it off.
    provider._updateHandler = (update, origin) => {
      if (!this.isOn) send(update, origin);
    };
    provider.doc.on("update", provider._updateHandler);
  }
}
