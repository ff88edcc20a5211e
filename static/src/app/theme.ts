/** Light or dark: follows the system until somebody chooses, then remembers. `theme.js` does the same before the first paint. */
import { useSyncExternalStore } from "react";
import { forget, storage } from "./storage";

export type Theme = "light" | "dark";
export type Choice = Theme | "system";

const KEY = "kanvas.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

export function choice(): Choice {
  try {
    const stored = storage()?.getItem(KEY);
    return stored === "light" || stored === "dark" ? stored : "system";
  } catch {
    return "system";
  }
}

export function theme(): Theme {
  const chosen = choice();
  if (chosen !== "system") return chosen;
  return system.matches ? "dark" : "light";
}

function apply(): void {
  document.documentElement.dataset["theme"] = theme();
  for (const listener of listeners) listener();
}

export function choose(next: Choice): void {
  if (next === "system") forget(KEY);
  else {
    try {
      storage()?.setItem(KEY, next);
    } catch {
      // Remembered until the page is left.
    }
  }
  apply();
}

system.addEventListener("change", apply);
window.addEventListener("storage", (event) => {
  if (event.key === KEY) apply();
});

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, theme);
}

export function useChoice(): Choice {
  return useSyncExternalStore(subscribe, choice);
}
