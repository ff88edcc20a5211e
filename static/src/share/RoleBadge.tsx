/** What I am in a room, as a small mark. */
import type { ReactNode } from "react";
import type { Role } from "../api/types";
import { CommentIcon, EyeIcon, KeyIcon, PenIcon } from "../ui/icons";
import { ROLE_DOES, ROLE_NAMES } from "./roles";

const ICONS: Readonly<Record<Role, () => ReactNode>> = { owner: KeyIcon, editor: PenIcon, commenter: CommentIcon, viewer: EyeIcon };

export function RoleBadge({ role, className = "" }: { role: Role; className?: string }): ReactNode {
  const Icon = ICONS[role];
  return (
    <span className={`role role--${role} ${className}`} title={`You may ${ROLE_DOES[role]}`} data-testid="role" data-role={role}>
      <Icon />
      <span className="only-read">You are </span>
      {ROLE_NAMES[role]}
    </span>
  );
}
