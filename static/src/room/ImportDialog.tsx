/** A file was chosen or dropped: add it to the drawing, or put it in its place. */
import { useState, type ReactNode } from "react";
import { Dialog } from "../ui/Dialog";
import type { Manner } from "./transfer";

export function ImportDialog(props: {
  name: string;
  number: number;
  empty: boolean;
  onClose: () => void;
  onChoose: (manner: Manner) => void;
}): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  const choose = (manner: Manner) => {
    try {
      props.onChoose(manner);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : "It could not be brought in.");
    }
  };
  const elements = props.number === 1 ? "one element" : `${props.number} elements`;
  return (
    <Dialog title="Import a drawing" wide onClose={props.onClose}>
      <p>
        “{props.name}” has {elements}. {props.empty ? "" : "Everybody in the room sees the change; you can undo it."}
      </p>
      <p className="field__problem" role="alert">
        {problem}
      </p>
      <div className="dialog__actions">
        <button type="button" className="button button--quiet" onClick={props.onClose}>
          Cancel
        </button>
        {!props.empty && (
          <button type="button" className="button" onClick={() => choose("replace")}>
            Replace the drawing
          </button>
        )}
        <button type="button" className="button button--primary" data-autofocus onClick={() => choose("add")}>
          Add to the drawing
        </button>
      </div>
    </Dialog>
  );
}
