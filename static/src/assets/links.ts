/**
 * Links to our own assets, as embeddable elements carry them. Pure.
 *
 * Written relative to the server, so that they hold for everybody and after a change of host; an absolute one is read
 * too when it names this very origin. Everything else is not ours and is never rendered.
 */
const PATH = /^\/api\/v1\/assets\/([0-9a-hjkmnp-tv-z]{26})$/;

export function assetLink(id: string): string {
  return `/api/v1/assets/${id}`;
}

/** The id of the asset a link names, or null when it is no link of ours. */
export function linkedAsset(link: string | null | undefined, origin: string): string | null {
  if (!link) return null;
  const path = link.startsWith(`${origin}/`) ? link.slice(origin.length) : link;
  return PATH.exec(path)?.[1] ?? null;
}
