/** localStorage that may be forbidden or full: reads then find nothing and writes are lost, but nothing breaks. */

export function storage(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

export function readJson(key: string): unknown {
  try {
    const text = storage()?.getItem(key);
    return text ? (JSON.parse(text) as unknown) : null;
  } catch {
    return null;
  }
}

export function writeJson(key: string, value: unknown): void {
  try {
    storage()?.setItem(key, JSON.stringify(value));
  } catch {
    // Full, or private browsing: the value lives as long as the page.
  }
}

export function forget(key: string): void {
  try {
    storage()?.removeItem(key);
  } catch {
    // Nothing was there.
  }
}

/** All keys that start with `prefix`. */
export function keysWith(prefix: string): string[] {
  const store = storage();
  if (!store) return [];
  try {
    return Object.keys(store).filter((key) => key.startsWith(prefix));
  } catch {
    return [];
  }
}
