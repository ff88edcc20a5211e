/**
 * What stands beside the canvas: a title, tools, a list. On a small screen it is a sheet from below.
 *
 * Owns: the focus, which goes in when it opens and back to where it was when it closes, and the keys, of which the
 * canvas hears none. Not modal: the canvas stays usable.
 */
import "../styles/drawer.css";
import { useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import type { Words } from "../api/errors";
import { CloseIcon } from "./icons";

export interface DrawerProps {
  readonly title: string;
  /** What the button that closes it is called. */
  readonly closing: string;
  readonly testId: string;
  readonly className?: string;
  /** A button before the title, such as the way back. */
  readonly before?: ReactNode;
  /** When it changes, the focus goes to what is marked with `data-autofocus` or, where nothing is, to the button that
   * closes; null leaves it where it is. */
  readonly view?: string | null;
  readonly onClose: () => void;
  /** What Escape does, if it isn't closing. */
  readonly onEscape?: () => void;
  readonly children: ReactNode;
}

export function Drawer({ title, closing, testId, className = "", before, view = "", onClose, onEscape = onClose, children }: DrawerProps): ReactNode {
  const titleId = useId();
  const panel = useRef<HTMLElement>(null);
  const close = useRef<HTMLButtonElement>(null);

  // before anything in it takes the focus
  const [opener] = useState(() => document.activeElement);

  // With the drawer, not a moment later: another one that opens in its place has the focus by then.
  useLayoutEffect(
    () => () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    },
    [opener],
  );
  // Before anything else can happen: a key pressed meanwhile would be the canvas's.
  useLayoutEffect(() => {
    if (view === null) return;
    const first = panel.current?.querySelector<HTMLElement>("[data-autofocus]") ?? close.current;
    first?.focus({ preventScroll: true });
  }, [view]);

  const onKeyDown = (event: KeyboardEvent) => {
    // The editor listens to every key of the page.
    event.stopPropagation();
    if (event.key === "Escape") onEscape();
  };

  return (
    <aside className={`drawer ${className}`.trimEnd()} ref={panel} aria-labelledby={titleId} onKeyDown={onKeyDown} data-testid={testId}>
      <header className="drawer__head">
        {before}
        <h2 id={titleId}>{title}</h2>
        <button type="button" className="button button--icon button--quiet" aria-label={closing} onClick={onClose} ref={close}>
          <CloseIcon />
        </button>
      </header>
      {children}
    </aside>
  );
}

/** In place of a list that did not come. */
export function DrawerProblem({ words, onRetry }: { words: Words; onRetry: () => void }): ReactNode {
  return (
    <div className="drawer__note" role="alert">
      <strong>{words.title}</strong>
      <span>{words.detail}</span>
      {words.retry && (
        <button type="button" className="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
