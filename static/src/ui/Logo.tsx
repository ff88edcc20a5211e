/** The mark (a sheet with a hand-drawn K) and the word. */
import type { ReactNode } from "react";

export function Mark({ size = 28 }: { size?: number }): ReactNode {
  return (
    <svg className="mark" width={size} height={size} viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      <path className="mark__sheet" d="M9 12.5c8-2.4 38-3 46-1 1.6 9 1.4 33-.5 41-9 2.2-37 2-45 .2C7.6 44 7.7 20 9 12.5z" />
      <path className="mark__stem" d="M23 18.5c-.8 9 .4 19-.4 27.5" />
      <path className="mark__arm" d="M42 19c-6 4-12 9.5-17.5 13.5C31 36 37 41 43 46" />
    </svg>
  );
}

export function Logo(): ReactNode {
  return (
    <span className="logo">
      <Mark />
      <span className="logo__word">Kanvas</span>
    </span>
  );
}
