/** Me: another name, light or dark, leaving. */
import { useId, useState, type FormEvent, type ReactNode } from "react";
import { wordsFor } from "../api/errors";
import { useAccount, useIdentity, useMe } from "../app/context";
import { navigate } from "../app/router";
import { choose, useChoice } from "../app/theme";
import { clearUser } from "../room/caches";
import { Avatar } from "../ui/Avatar";
import { Dialog } from "../ui/Dialog";
import { EyeIcon, LeaveIcon, LockIcon, MoonIcon, PenIcon, PersonIcon, SunIcon, SystemIcon } from "../ui/icons";
import { Menu } from "../ui/Menu";
import { useSay } from "../ui/toasts";
import { KeepDialog } from "./KeepDialog";
import { NAME_MAX, parseName } from "./names";

export function RenameMeDialog({ onClose }: { onClose: () => void }): ReactNode {
  const identity = useIdentity();
  const me = useMe();
  const say = useSay();
  const [value, setValue] = useState(me.name);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const problemId = useId();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const name = parseName(value);
    if (!name.ok) {
      setProblem(name.reason);
      return;
    }
    setBusy(true);
    try {
      await identity.rename(name.name);
      say(`You are ${name.name} now.`);
      onClose();
    } catch (error) {
      const words = wordsFor(error);
      setProblem(`${words.title}. ${words.detail}`);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Your name" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <label className="field">
          <span className="field__label">Others see this beside your cursor</span>
          <input
            data-autofocus
            className="input"
            name="name"
            autoComplete="nickname"
            maxLength={NAME_MAX * 2}
            value={value}
            aria-invalid={problem !== null}
            aria-describedby={problemId}
            onFocus={(event) => event.target.select()}
            onChange={(event) => setValue(event.target.value)}
          />
        </label>
        <p id={problemId} className="field__problem" role="alert">
          {problem}
        </p>
        <div className="dialog__actions">
          <button type="button" className="button button--quiet" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button button--primary" disabled={busy}>
            {busy ? "Saving…" : "Save"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** `everywhere`: that is what is asked for; otherwise it can be chosen. */
export function SignOutDialog({ onClose, everywhere: asked = false }: { onClose: () => void; everywhere?: boolean }): ReactNode {
  const identity = useIdentity();
  const me = useMe();
  const [busy, setBusy] = useState(false);
  const [everywhere, setEverywhere] = useState(asked);
  const [problem, setProblem] = useState<string | null>(null);
  const leave = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await identity.signOut(everywhere);
    } catch (error) {
      const words = wordsFor(error);
      setProblem(`${words.title}. ${words.detail}`);
      setBusy(false);
      return;
    }
    navigate("/", { replace: true });
    await clearUser(me.id);
  };
  return (
    <Dialog title={asked ? "Sign out everywhere?" : "Sign out?"} onClose={onClose}>
      <p>
        This browser forgets “{me.name}” and everything it kept for working offline, including changes the server does not have yet.
        {identity.isGuest ? " As a guest you can't come back as the same person, unless you sign in before." : " You can sign in again at any time."}
      </p>
      {asked && <p className="dialog__more">On all devices and in all browsers you have to sign in again. Personal tokens go on working: revoke those one by one.</p>}
      {!identity.isGuest && !asked && (
        <label className="check">
          <input type="checkbox" name="everywhere" checked={everywhere} onChange={(event) => setEverywhere(event.target.checked)} />
          <span>Sign out on all other devices and in all other browsers, too</span>
        </label>
      )}
      <p className="field__problem" role="alert">
        {problem}
      </p>
      <div className="dialog__actions">
        <button type="button" className="button button--quiet" data-autofocus onClick={onClose}>
          Stay
        </button>
        <button
          type="button"
          className="button button--danger"
          disabled={busy}
          onClick={() => void leave()}
        >
          {asked ? "Sign out everywhere" : "Sign out"}
        </button>
      </div>
    </Dialog>
  );
}

export function AccountMenu(): ReactNode {
  const identity = useIdentity();
  const me = useMe();
  const chosen = useChoice();
  const account = useAccount();
  const [asked, setAsked] = useState<"rename" | "keep" | "leave" | null>(null);
  return (
    <>
      <Menu
        className="account"
        label={`Account of ${me.name}`}
        testId="account"
        trigger={
          <>
            <Avatar id={me.id} name={me.name} size={32} />
            <span className="account__name">{me.name}</span>
          </>
        }
        head={
          <>
            {me.name}
            <small>{identity.isGuest ? "Guest" : (account?.email ?? "")}</small>
          </>
        }
        entries={[
          ...(identity.isGuest ? [{ label: "Sign in to keep your rooms", icon: <LockIcon />, run: () => setAsked("keep") }] : []),
          { label: "Account", icon: <PersonIcon />, run: () => navigate("/account") },
          { label: "Change name", icon: <PenIcon />, run: () => setAsked("rename") },
          ...(identity.isOperator ? [{ label: "Live rooms", icon: <EyeIcon />, run: () => navigate("/admin") }] : []),
          { label: "Light", icon: <SunIcon />, checked: chosen === "light", separated: true, run: () => choose("light") },
          { label: "Dark", icon: <MoonIcon />, checked: chosen === "dark", run: () => choose("dark") },
          { label: "Like the system", icon: <SystemIcon />, checked: chosen === "system", run: () => choose("system") },
          { label: "Sign out", icon: <LeaveIcon />, separated: true, run: () => setAsked("leave") },
        ]}
      />
      {asked === "rename" && <RenameMeDialog onClose={() => setAsked(null)} />}
      {asked === "keep" && <KeepDialog onClose={() => setAsked(null)} />}
      {asked === "leave" && <SignOutDialog onClose={() => setAsked(null)} />}
    </>
  );
}
