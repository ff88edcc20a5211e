/** Chooses one of a few roles. */
import type { ReactNode } from "react";
import type { GivenRole } from "../api/types";
import { GIVEN_ROLES, ROLE_NAMES } from "./roles";

/** With `onOwner`, "Owner" is among them: it is asked about first, since there is only one. */
export function RoleSelect(props: {
  label: string;
  value: GivenRole;
  disabled?: boolean;
  onChange: (role: GivenRole) => void;
  onOwner?: () => void;
}): ReactNode {
  return (
    <select
      className="select"
      aria-label={props.label}
      value={props.value}
      disabled={props.disabled}
      onChange={(event) => {
        if (event.target.value === "owner") props.onOwner?.();
        else props.onChange(event.target.value as GivenRole);
      }}
    >
      {GIVEN_ROLES.map((role) => (
        <option key={role} value={role}>
          {ROLE_NAMES[role]}
        </option>
      ))}
      {props.onOwner && <option value="owner">Owner…</option>}
    </select>
  );
}
