/** A block of words in place of content: empty, failed, or gone. */
import type { ReactNode } from "react";

export function Notice(props: {
  title: string;
  children: ReactNode;
  tone?: "plain" | "bad";
  art?: ReactNode;
  action?: { label: string; run: () => void } | undefined;
  more?: ReactNode;
}): ReactNode {
  return (
    <section className={props.tone === "bad" ? "notice notice--bad" : "notice"} role={props.tone === "bad" ? "alert" : undefined}>
      {props.art}
      <h2>{props.title}</h2>
      <p>{props.children}</p>
      {(props.action || props.more) && (
        <div className="notice__actions">
          {props.action && (
            <button type="button" className="button button--primary" onClick={props.action.run}>
              {props.action.label}
            </button>
          )}
          {props.more}
        </div>
      )}
    </section>
  );
}
