/** What the room page says about its connection, what is saved, and refusals. Pure. */
import type { Progress } from "../api/base";
import { count } from "../app/time";
import type { SavedStatus } from "../binding";

/** `waiting`: closed, and coming back by itself; `offline`: the browser says there is no network; `refused`: for good. */
export type Link = "connecting" | "connected" | "waiting" | "offline" | "refused";

export interface SavedWords {
  readonly status: "saved" | "saving" | "offline";
  readonly label: string;
  readonly detail: string;
}

export function savedWords(saved: SavedStatus, link: Link, frozen = false, looking = false): SavedWords {
  if (looking && saved.waiting === 0 && !saved.unconfirmed && link === "connected") {
    return { status: "saved", label: "live", detail: "You see what the others draw as they draw it." };
  }
  const waiting = saved.waiting > 0 ? count(saved.waiting, "change waiting", "changes waiting") : saved.unconfirmed ? "changes waiting" : "";
  if (frozen && link === "connected") {
    const detail = "The operator froze this room. You may look; what you draw stays in this browser until it is thawed.";
    return { status: "offline", label: waiting ? `frozen, ${waiting}` : "frozen", detail };
  }
  if (saved.kind === "saved" && link === "connected") {
    return { status: "saved", label: "saved", detail: "The server has written every one of your changes to disk." };
  }
  if (saved.kind === "saving" || (saved.kind === "saved" && link === "connected")) {
    return {
      status: "saving",
      label: "saving…",
      detail: waiting ? `Sent, but not confirmed yet: ${waiting}.` : "Sent, but not confirmed by the server yet.",
    };
  }
  const kept = waiting
    ? "Your changes are kept in this browser and are sent when the connection is back."
    : "You can go on drawing; changes are kept in this browser until the connection is back.";
  if (link === "refused") return { status: "offline", label: "not connected", detail: "The server takes no more changes for this room." };
  // While something waits, the words stay the same however often the connection is tried.
  if (waiting) return { status: "offline", label: `offline, ${waiting}`, detail: kept };
  const label = link === "offline" ? "offline" : link === "connecting" ? "connecting…" : "reconnecting…";
  return { status: "offline", label, detail: kept };
}

/** In place of a close code: I may only look now, and changes of mine wait here that nobody will take. */
export const ONLY_LOOKING = 0;

export interface Refusal {
  /** A WebSocket close code, 4400 to 4499, or ONLY_LOOKING. */
  readonly code: number;
  /** The server's own sentence. */
  readonly reason: string;
}

export interface RefusalWords {
  readonly title: string;
  readonly detail: string;
  /** Whether opening the room anew can help, once the local copy is dealt with. */
  readonly reopen: boolean;
}

/** What an operator's order that keeps nobody out says (server/oversight.py). */
const BACK = "you may open it again";

/** Words for a close that stays, by its code. The server's reason is shown too when it adds something. */
export function refusalWords({ code, reason }: Refusal): RefusalWords {
  const said = reason && !/^\d*$/.test(reason) ? ` The server says: “${reason}”` : "";
  switch (code) {
    case ONLY_LOOKING:
      return {
        title: "Your last changes were not taken",
        detail: "You may look at this room, but not draw in it any more. What the server has of the drawing stays as it is.",
        reopen: true,
      };
    case 4401:
      return {
        title: "Your session has ended",
        detail: "The server does not renew it any more, so your changes can't be sent under your name.",
        reopen: false,
      };
    case 4403:
      if (reason.includes(BACK)) return { title: "You were sent out of this room", detail: `It is open to you again.${said}`, reopen: true };
      return { title: "You are not in this room any more", detail: `Your access to it has ended.${said}`, reopen: false };
    case 4404:
      return {
        title: "This room is gone",
        detail: "It was deleted. Its owner can bring it back from the trash for 30 days. Or you have no access to it any more.",
        reopen: false,
      };
    case 4413:
      return { title: "A change is too large", detail: `The server did not take it.${said}`, reopen: true };
    case 4429:
      return {
        title: "Too much at once",
        detail: `This page sent more than the server takes, for minutes. Wait a minute before you open the room again.${said}`,
        reopen: true,
      };
    default:
      return { title: "The server refused a change", detail: `It could not be added to the room.${said}`, reopen: true };
  }
}

/** How much of a large drawing is here. */
export function progressWords({ receivedBytes, totalBytes }: Progress): string {
  if (receivedBytes >= totalBytes) return "Opening the drawing…";
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  return `Loading the drawing, ${megabytes(receivedBytes)} of ${megabytes(totalBytes)} MB`;
}
