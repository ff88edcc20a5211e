/** A room server for one test: speaks y-protocols over in-memory sockets, and commits only when told to. */
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import * as Y from "yjs";

const [SYNC, AWARENESS, STEP_1, STEP_2, UPDATE] = [0, 1, 0, 1, 2];

export class Room {
  /** What is committed: all that anybody is told. */
  readonly doc = new Y.Doc();
  readonly sockets = new Set<Socket>();
  /** Received, not committed. */
  waiting: Uint8Array[] = [];
  frozen = false;
  awareness: Uint8Array[] = [];

  receive(socket: Socket, data: Uint8Array): void {
    const decoder = decoding.createDecoder(data);
    const kind = decoding.readVarUint(decoder);
    if (kind === AWARENESS) return void this.awareness.push(decoding.readVarUint8Array(decoder));
    if (kind !== SYNC) return;
    const type = decoding.readVarUint(decoder);
    const payload = decoding.readVarUint8Array(decoder);
    if (type === STEP_1) socket.deliver(message(STEP_2, Y.encodeStateAsUpdate(this.doc, payload)));
    else this.waiting.push(payload);
    if (!this.frozen) this.commit();
  }

  /** Commits what was received and tells everybody, the authors too, in one merged update. */
  commit(): void {
    if (this.waiting.length === 0) return;
    const batch: Uint8Array[] = [];
    const collect = (update: Uint8Array) => batch.push(update);
    this.doc.on("update", collect);
    for (const update of this.waiting.splice(0)) Y.applyUpdate(this.doc, update);
    this.doc.off("update", collect);
    if (batch.length === 0) return;
    const merged = Y.mergeUpdates(batch);
    for (const socket of this.sockets) socket.deliver(message(UPDATE, merged));
  }

  open(socket: Socket): void {
    this.sockets.add(socket);
    socket.deliver(message(STEP_1, Y.encodeStateVector(this.doc)));
  }

  /** The server dies: sockets close, what wasn't committed is gone. */
  crash(): void {
    this.waiting = [];
    for (const socket of [...this.sockets]) socket.fall();
  }

  /** The class to give y-websocket in the place of WebSocket. */
  get Socket(): typeof WebSocket {
    const room = this;
    return class extends Socket {
      constructor() {
        super(room);
      }
    } as unknown as typeof WebSocket;
  }
}

function message(type: number, payload: Uint8Array): Uint8Array {
  const encoder = encoding.createEncoder();
  encoding.writeVarUint(encoder, SYNC!);
  encoding.writeVarUint(encoder, type);
  encoding.writeVarUint8Array(encoder, payload);
  return encoding.toUint8Array(encoder);
}

export class Socket {
  readonly OPEN = 1;
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(readonly room: Room) {
    queueMicrotask(() => {
      this.readyState = 1;
      this.onopen?.();
      this.room.open(this);
    });
  }

  send(data: Uint8Array): void {
    queueMicrotask(() => this.readyState === 1 && this.room.receive(this, data));
  }

  deliver(data: Uint8Array): void {
    queueMicrotask(() => this.onmessage?.({ data: data.slice().buffer as ArrayBuffer }));
  }

  close(): void {
    this.readyState = 3;
    this.room.sockets.delete(this);
  }

  fall(): void {
    const tell = this.onclose;
    this.close();
    tell?.({ code: 1006, reason: "" });
  }
}
