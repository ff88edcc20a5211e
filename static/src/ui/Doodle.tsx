/** Shows the little drawing of a room. */
import { memo, useMemo, type ReactNode } from "react";
import { doodle } from "./doodles";

export const Doodle = memo(function Doodle({ seed, className }: { seed: string; className?: string }): ReactNode {
  const strokes = useMemo(() => doodle(seed), [seed]);
  return (
    <svg className={`doodle ${className ?? ""}`} viewBox="0 0 240 96" preserveAspectRatio="xMinYMid meet" aria-hidden="true" focusable="false">
      {strokes.map((stroke, index) => (
        <path key={index} d={stroke.d} className={`doodle__ink doodle__ink--${stroke.ink}${stroke.filled ? " doodle__ink--filled" : ""}`} />
      ))}
    </svg>
  );
});
