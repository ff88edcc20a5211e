/** A person as initials in their own colour. */
import type { CSSProperties, ReactNode } from "react";
import { initials, tintOf } from "../identity/names";

export function Avatar({ id, name, size = 28 }: { id: string; name: string; size?: number }): ReactNode {
  const style = { "--tint": tintOf(id), "--size": `${size}px` } as CSSProperties;
  return (
    <span className="avatar" style={style} aria-hidden="true">
      {initials(name)}
    </span>
  );
}
