/**
 * The pages and the address bar: `/` is the lobby, `/r/{id}` a room, `/l/{token}` a link into one, `/i/{token}` an
 * invitation that came by mail, `/signin/{secret}` a mailed link to sign in with, `/mailbox` the mails that stayed here,
 * `/account` mine, `/admin` the operator's.
 */
import { useSyncExternalStore } from "react";

export type Route =
  | { readonly page: "lobby" | "account" | "mailbox" | "admin" | "unknown" }
  | { readonly page: "room"; readonly id: string }
  | { readonly page: "link" | "invitation"; readonly token: string }
  | { readonly page: "signin"; readonly secret: string };

export function parseRoute(pathname: string): Route {
  if (pathname === "/" || pathname === "") return { page: "lobby" };
  if (/^\/admin\/?$/.test(pathname)) return { page: "admin" };
  if (/^\/account\/?$/.test(pathname)) return { page: "account" };
  const ticket = /^\/([li])\/([A-Za-z0-9_-]{1,200})\/?$/.exec(pathname);
  if (ticket?.[2]) return { page: ticket[1] === "l" ? "link" : "invitation", token: ticket[2] };
  if (/^\/mailbox\/?$/.test(pathname)) return { page: "mailbox" };
  const link = /^\/signin\/([A-Za-z0-9_-]{1,200})\/?$/.exec(pathname);
  if (link?.[1]) return { page: "signin", secret: link[1] };
  const room = /^\/r\/([A-Za-z0-9_-]{1,64})\/?$/.exec(pathname);
  if (room?.[1]) return { page: "room", id: room[1] };
  return { page: "unknown" };
}

export function roomPath(id: string): string {
  return `/r/${encodeURIComponent(id)}`;
}

/** The room with a thread of comments beside it. */
export function threadPath(id: string, thread: string): string {
  return `${roomPath(id)}?${new URLSearchParams({ thread })}`;
}

/** The thread an address asks for. */
export function askedThread(search: string): string | null {
  return new URLSearchParams(search).get("thread");
}

export function roomLink(id: string): string {
  return new URL(roomPath(id), window.location.origin).toString();
}

const listeners = new Set<() => void>();
const tell = () => {
  for (const listener of listeners) listener();
};

export function navigate(path: string, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  tell();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
  };
}

/** The path and query, as one string so that equal addresses are equal values. */
export function useAddress(): string {
  return useSyncExternalStore(subscribe, () => window.location.pathname + window.location.search);
}

/** True for a click that should stay in this tab. */
export function isPlainClick(event: { button: number; metaKey: boolean; ctrlKey: boolean; shiftKey: boolean; altKey: boolean }): boolean {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}
