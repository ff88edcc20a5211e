/**
 * What went wrong, and how to say it to a person.
 *
 * Owns: the one error type of the REST client and the sentences shown for it. The server's own `detail` is
 * written for people, so it is shown as it is wherever it says more than we know.
 */
import { count } from "../app/time";
import type { FieldError, Problem } from "./types";

/** `offline`: no answer came; `timeout`: too late; `problem`: the server said no. */
export type FailureKind = "offline" | "timeout" | "problem";

export class ApiError extends Error {
  readonly kind: FailureKind;
  /** HTTP status, 0 when no answer came. */
  readonly status: number;
  readonly code: string;
  readonly requestId: string | undefined;
  readonly fields: readonly FieldError[];
  /** Seconds to wait before the same can work, where the server says so. */
  readonly retryAfterS: number | undefined;

  constructor(
    message: string,
    options: {
      kind: FailureKind;
      status?: number;
      code?: string;
      requestId?: string | undefined;
      fields?: readonly FieldError[];
      retryAfterS?: number | undefined;
      cause?: unknown;
    },
  ) {
    super(message, { cause: options.cause });
    this.name = "ApiError";
    this.kind = options.kind;
    this.status = options.status ?? 0;
    this.code = options.code ?? options.kind;
    this.requestId = options.requestId;
    this.fields = options.fields ?? [];
    this.retryAfterS = options.retryAfterS;
  }

  /** True when no answer came, so that what is kept here is the best there is. */
  get unreachable(): boolean {
    return this.kind !== "problem" || [502, 503, 504].includes(this.status);
  }
}

/** Reads an answer that is not 2xx, whatever its body is (a proxy's HTML page has no problem+json). */
export function problemOf(status: number, body: string, contentType: string): ApiError {
  let problem: Problem = {};
  if (/\bjson\b/.test(contentType)) {
    try {
      const parsed: unknown = JSON.parse(body);
      if (parsed !== null && typeof parsed === "object") problem = parsed as Problem;
    } catch {
      // A cut-off body says nothing more than its status does.
    }
  }
  return new ApiError(problem.detail ?? problem.title ?? `The server answered ${status}.`, {
    kind: "problem",
    status,
    code: problem.code ?? `http_${status}`,
    requestId: problem.request_id,
    fields: problem.errors ?? [],
    retryAfterS: problem.retry_after_s,
  });
}

export interface Words {
  readonly title: string;
  readonly detail: string;
  /** Whether trying the same again can help. */
  readonly retry: boolean;
}

/** A time to wait, in words; "a moment" when nobody says how long. */
export function waitWords(seconds: number | undefined): string {
  if (seconds === undefined) return "a moment";
  if (seconds < 90) return count(Math.max(1, Math.ceil(seconds)), "second", "seconds");
  return count(Math.ceil(seconds / 60), "minute", "minutes");
}

/** A heading and a sentence for any error. */
export function wordsFor(error: unknown): Words {
  if (!(error instanceof ApiError)) {
    const detail = error instanceof Error && error.message ? error.message : "Something unexpected happened.";
    return { title: "That did not work", detail, retry: true };
  }
  if (error.kind === "offline") {
    return {
      title: "No connection",
      detail: "The server can't be reached. Check your network; nothing you drew is lost.",
      retry: true,
    };
  }
  if (error.kind === "timeout") {
    return { title: "The server takes long", detail: "It did not answer in time. Try again in a moment.", retry: true };
  }
  const { status } = error;
  if (status === 401) {
    return { title: "Sign in again", detail: "Your session has ended on this server.", retry: false };
  }
  if (status === 403) return { title: "Not allowed", detail: error.message, retry: false };
  if (status === 404) {
    return {
      title: "Not here",
      detail: "This was deleted, or the address is not complete.",
      retry: false,
    };
  }
  if (status === 409 || status === 412) {
    return {
      title: "Somebody was faster",
      detail: "It changed in the meantime. Look at it again, then repeat.",
      retry: true,
    };
  }
  if (status === 413) return { title: "Too large", detail: error.message, retry: false };
  if (status === 422 || status === 400) {
    const field = error.fields[0];
    return { title: "Please check this", detail: field ? field.message : error.message, retry: false };
  }
  if (status === 429) {
    return { title: "A little slower", detail: `There were too many requests. Try again in ${waitWords(error.retryAfterS)}.`, retry: true };
  }
  if (status === 503 || status === 502 || status === 504) {
    return { title: "The server is busy", detail: "It is starting or can't save right now. Try again soon.", retry: true };
  }
  const ticket = error.requestId ? ` If you ask the operator, tell them ${error.requestId}.` : "";
  return { title: "The server made a mistake", detail: `It was not your fault.${ticket}`, retry: true };
}
