/** `/account`: who I am, where I am signed in, my tokens for scripts. */
import { useCallback, useId, useState, type ReactNode } from "react";
import "../styles/account.css";
import type { Me } from "../api/types";
import { copyText } from "../app/clipboard";
import { useAccount, useIdentity, useMe } from "../app/context";
import { isPlainClick, navigate } from "../app/router";
import { AccountMenu, RenameMeDialog, SignOutDialog } from "../identity/AccountMenu";
import { Ways } from "../identity/Ways";
import { Avatar } from "../ui/Avatar";
import { CopyIcon, LeaveIcon, PenIcon } from "../ui/icons";
import { Logo } from "../ui/Logo";
import { useSay } from "../ui/toasts";
import { Sessions } from "./Sessions";
import { Tokens } from "./Tokens";

export default function AccountPage(): ReactNode {
  const identity = useIdentity();
  // Name and id are known without it; the rest is shown when it is there.
  const account = useAccount();
  const [leaving, setLeaving] = useState<"here" | "everywhere" | null>(null);

  const leave = useCallback(() => setLeaving("here"), []);

  return (
    <div className="account-page">
      <header className="lobby__bar">
        <a
          className="lobby__home"
          href="/"
          aria-label="Kanvas, the lobby"
          onClick={(event) => {
            if (!isPlainClick(event)) return;
            event.preventDefault();
            navigate("/");
          }}
        >
          <Logo />
        </a>
        <AccountMenu />
      </header>
      <main className="page account-page__main">
        <h1>Your account</h1>
        <Profile account={account} />
        {(account?.is_guest ?? identity.isGuest) && <Keep />}
        <Sessions onLeave={leave} />
        <Tokens />
        <section className="panel" aria-labelledby="account-leave">
          <h2 id="account-leave">Sign out</h2>
          <div className="panel__actions">
            <button type="button" className="button" onClick={() => setLeaving("here")}>
              <LeaveIcon />
              Sign out here
            </button>
            <button type="button" className="button button--danger" onClick={() => setLeaving("everywhere")}>
              Sign out everywhere
            </button>
          </div>
        </section>
      </main>
      {leaving && <SignOutDialog everywhere={leaving === "everywhere"} onClose={() => setLeaving(null)} />}
    </div>
  );
}

function Profile({ account }: { account: Me | null }): ReactNode {
  const me = useMe();
  const say = useSay();
  const [renaming, setRenaming] = useState(false);
  return (
    <section className="panel" aria-label="Who you are">
      <div className="profile">
        <Avatar id={me.id} name={me.name} size={56} />
        <div className="profile__who">
          <strong>{me.name}</strong>
          <span>
            {account === null ? "" : account.is_guest ? "A guest: only this browser knows you" : (account.email ?? "Known by the sign-in service")}
            {account?.is_admin && " · operator of this server"}
          </span>
        </div>
        <button type="button" className="button" onClick={() => setRenaming(true)}>
          <PenIcon />
          Change name
        </button>
      </div>
      <p className="profile__id">
        <span>Your user id, for those who invite you:</span>
        <code data-testid="user-id">{me.id}</code>
        <button
          type="button"
          className="button button--icon button--quiet"
          aria-label="Copy your user id"
          title="Copy your user id"
          onClick={() => void copyText(me.id).then((done) => say(done ? "Copied." : me.id))}
        >
          <CopyIcon />
        </button>
      </p>
      {renaming && <RenameMeDialog onClose={() => setRenaming(false)} />}
    </section>
  );
}

/** A guest's way to an account: what was made so far is that account's. */
function Keep(): ReactNode {
  const headId = useId();
  return (
    <section className="panel panel--call" aria-labelledby={headId}>
      <h2 id={headId}>Keep what you made</h2>
      <p className="keep__why">As a guest you are gone when this browser forgets you. Sign in, and your rooms and what you drew come along.</p>
      <Ways next="/account" />
    </section>
  );
}
