/** What a room shows until its drawing is here: dots, and for a large drawing how much of it has come. */
import type { ReactNode } from "react";
import type { Progress } from "../api/base";
import { Loading } from "../app/App";
import { progressWords } from "./words";

export function Opening({ progress }: { progress: Progress | null }): ReactNode {
  if (!progress) return <Loading>Opening the room…</Loading>;
  const part = progress.receivedBytes / progress.totalBytes;
  const words = progressWords(progress);
  return (
    <div className="loading">
      <div
        className="progress"
        role="progressbar"
        aria-label="Loading the drawing"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.floor(part * 100)}
        aria-valuetext={words}
        data-testid="progress"
      >
        <div className="progress__done" style={{ transform: `scaleX(${part})` }} />
      </div>
      <span className="progress__words">{words}</span>
    </div>
  );
}
