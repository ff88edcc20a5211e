/**
 * A modal dialog on the platform's own <dialog>: focus stays inside, Escape closes, focus returns to where it was.
 */
import { useEffect, useId, useRef, type ReactNode } from "react";
import { CloseIcon } from "./icons";

export function Dialog(props: {
  title: string;
  children: ReactNode;
  onClose: () => void;
  /** Escape and the backdrop do nothing: there is something to decide first. */
  required?: boolean;
  wide?: boolean;
}): ReactNode {
  const ref = useRef<HTMLDialogElement>(null);
  const opener = useRef<Element | null>(null);
  const titleId = useId();
  const { onClose, required = false } = props;
  const latest = useRef({ onClose, required });
  latest.current = { onClose, required };

  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    opener.current = document.activeElement;
    if (!dialog.open) dialog.showModal();
    dialog.querySelector<HTMLElement>("[data-autofocus]")?.focus();
    // What had the focus may be gone, with a row of a list: keys then come to the page, and are still the dialog's.
    const onKey = (event: KeyboardEvent) => {
      if (dialog.contains(event.target as Node) || [...document.querySelectorAll("dialog[open]")].at(-1) !== dialog) return;
      event.stopPropagation();
      if (event.key !== "Escape") return;
      event.preventDefault();
      if (!latest.current.required) latest.current.onClose();
    };
    window.addEventListener("keydown", onKey, { capture: true });
    return () => {
      window.removeEventListener("keydown", onKey, { capture: true });
      dialog.close();
      const before = opener.current;
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);

  return (
    <dialog
      ref={ref}
      className={props.wide ? "dialog dialog--wide" : "dialog"}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        if (!required) onClose();
      }}
      onKeyDown={(event) => event.stopPropagation()}
      onMouseDown={(event) => {
        if (event.target === event.currentTarget && !required) onClose();
      }}
    >
      <div className="dialog__sheet">
        <header className="dialog__head">
          <h2 id={titleId}>{props.title}</h2>
          {!required && (
            <button type="button" className="button button--icon button--quiet" aria-label="Close" onClick={onClose}>
              <CloseIcon />
            </button>
          )}
        </header>
        {props.children}
      </div>
    </dialog>
  );
}
