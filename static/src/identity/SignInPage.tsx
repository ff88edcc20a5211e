/**
 * The page of a mailed link. It does nothing by itself: mail programs open links before people do, and a link is good once.
 */
import { useEffect, useState, type ReactNode } from "react";
import { ApiError, wordsFor } from "../api/errors";
import { useIdentity, useSession } from "../app/context";
import { navigate } from "../app/router";
import { Doodle } from "../ui/Doodle";
import { Logo } from "../ui/Logo";
import { useSay } from "../ui/toasts";
import { forgetAsked, linkWords, readAsked } from "./asked";

export function SignInPage({ secret }: { secret: string }): ReactNode {
  const identity = useIdentity();
  const session = useSession();
  const say = useSay();
  const [asked] = useState(() => readAsked());
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [spent, setSpent] = useState(false);
  const me = session ? { ...session.user, guest: identity.isGuest } : null;

  useEffect(() => {
    document.title = "Sign in · Kanvas";
  }, []);

  const enter = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const next = await identity.enterWithLink(secret);
      forgetAsked();
      navigate(next, { replace: true });
      say("You are signed in.");
    } catch (error) {
      const gone = error instanceof ApiError && error.code === "link_spent";
      const words = wordsFor(error);
      setSpent(gone);
      setProblem(gone ? error.message : `${words.title}. ${words.detail}`);
      setBusy(false);
    }
  };

  return (
    <main className="welcome">
      <div className="welcome__sheet">
        <Doodle seed="signin" className="welcome__doodle" />
        <Logo />
        <h1>{spent ? "This link has ended" : "Sign in to Kanvas"}</h1>
        {!spent && asked && <p className="welcome__who">{asked.email}</p>}
        {!spent && (
          <p className="welcome__lead" data-testid="link-words">
            {linkWords(asked, me)}
          </p>
        )}
        <p className="field__problem" role="alert">
          {problem}
        </p>
        <div className="welcome__actions">
          {!spent && (
            <button type="button" className="button button--primary button--large" disabled={busy} onClick={() => void enter()}>
              {busy ? "One moment…" : "Sign in"}
            </button>
          )}
          <button
            type="button"
            className={spent ? "button button--primary button--large" : "button button--quiet"}
            onClick={() => navigate("/", { replace: true })}
          >
            {spent ? "Ask for another" : "Not now"}
          </button>
        </div>
      </div>
    </main>
  );
}
