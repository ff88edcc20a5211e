/** Something a button begins: whether it is under way, and why it did not work, in words. */
import { useCallback, useState } from "react";
import { ApiError, wordsFor } from "../api/errors";

export interface Work {
  readonly busy: boolean;
  readonly problem: string | null;
  /** Runs it unless something is under way; resolves to whether it worked. */
  readonly run: (work: () => Promise<unknown>) => Promise<boolean>;
  readonly refuse: (problem: string | null) => void;
}

/** One line for any error: the server's own sentence where it knows best what stands in the way. */
export function lineFor(error: unknown): string {
  if (error instanceof ApiError && [403, 404, 409].includes(error.status)) return error.message;
  const words = wordsFor(error);
  return `${words.title}. ${words.detail}`;
}

export function useWork(): Work {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const run = useCallback(async (work: () => Promise<unknown>) => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (error) {
      setProblem(lineFor(error));
      return false;
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, problem, run, refuse: setProblem };
}
