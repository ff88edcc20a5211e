/** What a room shows until its drawing is here: dots; for a large one its title, how much has come, and a way out. */
import type { ReactNode } from "react";
import type { Progress } from "../api/base";
import { Loading } from "../app/App";
import { navigate } from "../app/router";
import { progressWords } from "./words";

export function Opening({ title, progress }: { title: string; progress: Progress | null }): ReactNode {
  if (!progress) return <Loading>Opening the room…</Loading>;
  const part = progress.receivedBytes / progress.totalBytes;
  const words = progressWords(progress);
  return (
    <main className="loading">
      <h1 className="progress__title">{title}</h1>
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
      <button type="button" className="button button--quiet" onClick={() => navigate("/")}>
        Go to the lobby
      </button>
    </main>
  );
}
