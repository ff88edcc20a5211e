/** A question in place of a row's buttons: really? The cautious answer has the focus. */
import { useEffect, useRef, type ReactNode } from "react";

export function Confirm(props: {
  children: ReactNode;
  yes: string;
  no?: string;
  busy: boolean;
  onYes: () => void;
  onNo: () => void;
}): ReactNode {
  const cautious = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    cautious.current?.focus();
    cautious.current?.scrollIntoView({ block: "nearest" });
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <div
      className="confirm"
      role="group"
      aria-label={props.yes}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        // Not the dialog around it.
        event.preventDefault();
        event.stopPropagation();
        props.onNo();
      }}
    >
      <p>{props.children}</p>
      <div className="confirm__answers">
        <button ref={cautious} type="button" className="button button--quiet" disabled={props.busy} onClick={props.onNo}>
          {props.no ?? "Cancel"}
        </button>
        <button type="button" className="button button--danger" disabled={props.busy} onClick={props.onYes}>
          {props.yes}
        </button>
      </div>
    </div>
  );
}
