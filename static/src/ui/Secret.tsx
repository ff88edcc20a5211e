/** Something that is shown once: to be copied now. */
import { useEffect, useId, useRef, useState, type ReactNode } from "react";
import { copyText } from "../app/clipboard";
import { CheckIcon, CopyIcon } from "./icons";

export function Secret(props: { label: string; value: string; children: ReactNode; testId: string }): ReactNode {
  const field = useRef<HTMLInputElement>(null);
  const [copied, setCopied] = useState<boolean | null>(null);
  const noteId = useId();
  useEffect(() => {
    field.current?.focus();
    field.current?.select();
    field.current?.scrollIntoView({ block: "nearest" });
    setCopied(null);
  }, [props.value]);
  const copy = async () => {
    setCopied(await copyText(props.value));
    field.current?.select();
  };
  return (
    <div className="secret">
      <label className="field">
        <span className="field__label">{props.label}</span>
        <span className="secret__row">
          <input ref={field} className="input secret__value" readOnly spellCheck={false} value={props.value} aria-describedby={noteId} data-testid={props.testId} />
          <button type="button" className="button button--primary" onClick={() => void copy()}>
            {copied ? <CheckIcon /> : <CopyIcon />}
            {copied ? "Copied" : "Copy"}
          </button>
        </span>
      </label>
      <p id={noteId} className="secret__note" role="status">
        {copied === false ? "It could not be copied: select it and copy it by hand. " : ""}
        {props.children}
      </p>
    </div>
  );
}
