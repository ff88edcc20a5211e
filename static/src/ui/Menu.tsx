/** A small menu under a button: arrows move, Escape and outside close, focus returns to the button. */
import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";

export interface MenuEntry {
  readonly label: string;
  readonly icon?: ReactNode;
  readonly run: () => void;
  readonly danger?: boolean;
  /** Set for a choice among several: shows and announces which one holds. */
  readonly checked?: boolean;
  readonly separated?: boolean;
  readonly testId?: string;
}

export function Menu(props: {
  label: string;
  trigger: ReactNode;
  entries: readonly MenuEntry[];
  className?: string;
  head?: ReactNode;
  testId?: string;
}): ReactNode {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();

  const items = () => Array.from(list.current?.querySelectorAll<HTMLElement>("[role^=menuitem]") ?? []);
  const close = (focus = true) => {
    setOpen(false);
    if (focus) button.current?.focus();
  };

  useEffect(() => {
    if (!open) return;
    items()[0]?.focus();
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside, true);
    return () => document.removeEventListener("pointerdown", outside, true);
  }, [open]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const go = (index: number) => {
      event.preventDefault();
      all[(index + all.length) % all.length]?.focus();
    };
    event.stopPropagation();
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(all.length - 1);
    else if (event.key === "Tab") setOpen(false);
  };

  return (
    <div className={props.className ? `menu ${props.className}` : "menu"} ref={root} onKeyDown={onKeyDown}>
      <button
        ref={button}
        type="button"
        className="menu__trigger"
        aria-label={props.label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        data-testid={props.testId}
        onClick={() => setOpen(!open)}
      >
        {props.trigger}
      </button>
      {open && (
        <div id={id} role="menu" aria-label={props.label} className="menu__list" ref={list}>
          {props.head && <div className="menu__head">{props.head}</div>}
          {props.entries.map((entry) => (
            <button
              key={entry.label}
              type="button"
              role={entry.checked === undefined ? "menuitem" : "menuitemradio"}
              aria-checked={entry.checked}
              tabIndex={-1}
              data-testid={entry.testId}
              className={[
                "menu__entry",
                entry.danger ? "menu__entry--danger" : "",
                entry.separated ? "menu__entry--separated" : "",
              ].join(" ")}
              onClick={() => {
                close();
                entry.run();
              }}
            >
              {entry.icon}
              <span>{entry.label}</span>
              {entry.checked && <span className="menu__mark" aria-hidden="true" />}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
