/** Short messages at the bottom, read out politely; one may carry an action such as Undo. */
import { createContext, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from "react";
import { CloseIcon } from "./icons";

export interface Toast {
  readonly text: string;
  readonly tone?: "plain" | "bad";
  readonly action?: { readonly label: string; readonly run: () => void };
}

type Say = (toast: Toast | string) => void;

const ToastContext = createContext<Say>(() => undefined);

/** Something with an action stays longer: it has to be read and reached. */
const PLAIN_MS = 5_000;
const ACTION_MS = 12_000;
const MOST = 3;

export function useSay(): Say {
  return useContext(ToastContext);
}

export function Toasts({ children }: { children: ReactNode }): ReactNode {
  const [shown, setShown] = useState<readonly (Toast & { id: number })[]>([]);
  const next = useRef(1);
  const drop = useCallback((id: number) => setShown((list) => list.filter((toast) => toast.id !== id)), []);
  const say = useCallback<Say>(
    (message) => {
      const toast = typeof message === "string" ? { text: message } : message;
      const id = next.current++;
      setShown((list) => [...list.slice(1 - MOST), { ...toast, id }]);
      setTimeout(() => drop(id), toast.action ? ACTION_MS : PLAIN_MS);
    },
    [drop],
  );
  const list = useMemo(
    () =>
      shown.map((toast) => (
        <div key={toast.id} className={toast.tone === "bad" ? "toast toast--bad" : "toast"}>
          <span>{toast.text}</span>
          {toast.action && (
            <button
              type="button"
              className="toast__action"
              onClick={() => {
                toast.action?.run();
                drop(toast.id);
              }}
            >
              {toast.action.label}
            </button>
          )}
          <button type="button" className="toast__close" aria-label="Dismiss" onClick={() => drop(toast.id)}>
            <CloseIcon />
          </button>
        </div>
      )),
    [shown, drop],
  );
  return (
    <ToastContext.Provider value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {list}
      </div>
    </ToastContext.Provider>
  );
}
