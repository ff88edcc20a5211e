/** Asking for a link by e-mail: an address, a button, and where to look then. */
import { useId, useState, type FormEvent, type ReactNode } from "react";
import { wordsFor } from "../api/errors";
import { useIdentity } from "../app/context";
import { noteAsked } from "./asked";

export function EmailForm(props: { next: string; mailbox: boolean; primary: boolean; autoFocus?: boolean }): ReactNode {
  const identity = useIdentity();
  const [email, setEmail] = useState("");
  const [sent, setSent] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const problemId = useId();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const address = email.trim();
    if (!/^[^\s@]+@[^\s@]+$/.test(address)) {
      setProblem("Give an e-mail address, such as ada@example.org.");
      return;
    }
    setBusy(true);
    setProblem(null);
    try {
      await identity.api.account.askLink(address, props.next);
      noteAsked(address, identity.isGuest ? (identity.session?.user.id ?? null) : null);
      setSent(address);
    } catch (error) {
      const words = wordsFor(error);
      setProblem(`${words.title}. ${words.detail}`);
    }
    setBusy(false);
  };
  if (sent !== null) {
    return (
      <div className="sent" role="status" data-testid="sent">
        <p>
          <strong>Look into your mail.</strong> If <span className="sent__to">{sent}</span> may sign in here, there is a link. It is good
          for 15 minutes; open it in this browser.
        </p>
        <div className="welcome__actions">
          {props.mailbox && (
            <a className="button button--primary" href="/mailbox" data-testid="to-mailbox">
              Open the mailbox
            </a>
          )}
          <button type="button" className="button button--quiet" onClick={() => setSent(null)}>
            Another address
          </button>
        </div>
      </div>
    );
  }
  return (
    <form className="by-email" onSubmit={(event) => void submit(event)} noValidate>
      <label className="field">
        <span className="field__label">E-mail</span>
        <input
          className="input"
          type="email"
          name="email"
          autoComplete="email"
          maxLength={254}
          placeholder="you@example.org"
          value={email}
          {...(props.autoFocus ? { "data-autofocus": true, autoFocus: true } : {})}
          aria-invalid={problem !== null}
          aria-describedby={problem ? problemId : undefined}
          onChange={(event) => setEmail(event.target.value)}
        />
      </label>
      <p id={problemId} className="field__problem" role="alert">
        {problem}
      </p>
      <button type="submit" className={props.primary ? "button button--primary button--large" : "button button--large"} disabled={busy}>
        {busy ? "One moment…" : "Send me a link"}
      </button>
    </form>
  );
}
