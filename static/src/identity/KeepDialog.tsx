/** A guest signs in: by e-mail or at the provider, and keeps the rooms. */
import type { ReactNode } from "react";
import { useMe } from "../app/context";
import { Dialog } from "../ui/Dialog";
import { Ways } from "./Ways";

export function KeepDialog({ onClose }: { onClose: () => void }): ReactNode {
  const me = useMe();
  return (
    <Dialog title="Sign in and keep your rooms" onClose={onClose}>
      <p className="keep__why">
        Only this browser knows you as {me.name}. Once you sign in, your rooms and drawings are there wherever you do. Do it in this
        browser, for they come along from here.
      </p>
      <Ways next={window.location.pathname} autoFocus />
    </Dialog>
  );
}
