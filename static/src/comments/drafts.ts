/**
 * What is being written and not sent yet: it outlives its field, which goes with a key, with a click elsewhere, or with a
 * role that is taken away for a moment.
 *
 * Pure. Lives as long as the room is open in this page.
 */

/** Changed in place by whoever writes. */
export interface Draft {
  text: string;
  /** Who was chosen to be mentioned: names by id. */
  mentions: Map<string, string>;
  /** What was sent last, and its key: the same words sent again are written once. */
  sent: { readonly words: string; readonly key: string } | null;
}

/** What a thread that is being begun is known by; a reply is known by its thread. */
export const BEGUN = "";

export function newDraft(text = "", mentions: ReadonlyMap<string, string> = new Map()): Draft {
  return { text, mentions: new Map(mentions), sent: null };
}

export class Drafts {
  readonly #drafts = new Map<string, Draft>();

  of(about: string): Draft {
    const draft = this.#drafts.get(about) ?? newDraft();
    this.#drafts.set(about, draft);
    return draft;
  }
}
