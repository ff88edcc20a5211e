/**
 * The first visit: what others shall call you, or the button of the identity provider. Where neither is offered, a
 * token takes the name's place.
 */
import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { wordsFor } from "../api/errors";
import type { ServerConfig } from "../api/types";
import { useIdentity } from "../app/context";
import { Doodle } from "../ui/Doodle";
import { Avatar } from "../ui/Avatar";
import { Logo } from "../ui/Logo";
import { EmailForm } from "./EmailForm";
import { signInAddress } from "./landing";
import { friendlyName, NAME_MAX, parseName } from "./names";

export function Welcome({ invited }: { invited: boolean }): ReactNode {
  const identity = useIdentity();
  const [suggestion] = useState(() => friendlyName());
  const [value, setValue] = useState(suggestion);
  const [token, setToken] = useState("");
  const [guests, setGuests] = useState(true);
  const [provider, setProvider] = useState<NonNullable<ServerConfig["sign_in"]> | null>(null);
  const [email, setEmail] = useState(false);
  const [mailbox, setMailbox] = useState(false);
  const [withToken, setWithToken] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  // It belongs to the provider's button, not to what is typed below.
  const landed = busy || problem !== null ? null : identity.problem;
  const field = useRef<HTMLInputElement>(null);
  const problemId = useId();

  useEffect(() => {
    let live = true;
    identity.api.config().then(
      (config) => {
        if (!live) return;
        setGuests(config.guests);
        setProvider(config.sign_in ?? null);
        setEmail(config.email ?? false);
        setMailbox(config.mailbox ?? false);
      },
      // Not knowing is no reason to stop: the sign-in itself will say what is wrong.
      () => undefined,
    );
    return () => {
      live = false;
    };
  }, [identity]);

  useEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, [guests, withToken]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setProblem(null);
    const name = parseName(value);
    if (guests && !name.ok) {
      setProblem(name.reason);
      field.current?.focus();
      return;
    }
    setBusy(true);
    try {
      if (guests && name.ok) await identity.enter(name.name);
      else await identity.enterWithToken(token);
    } catch (error) {
      const words = wordsFor(error);
      setProblem(`${words.title}. ${words.detail}`);
      setBusy(false);
    }
  };

  const asksToken = !guests && ((provider === null && !email) || withToken);
  const lead = guests
    ? provider || email
      ? "Sign in, or just say what we shall call you. Others see the name beside your cursor."
      : "What shall we call you? Others see this name beside your cursor."
    : asksToken
      ? "This server lets people in by token. Ask its owner for yours and paste it here."
      : "Sign in to draw with the others.";
  const problemLine = (
    <p id={problemId} className="field__problem" role="alert">
      {problem ?? (provider ? null : landed)}
    </p>
  );

  return (
    <main className="welcome">
      <div className="welcome__sheet">
        <Doodle seed="welcome" className="welcome__doodle" />
        <Logo />
        <h1>{invited ? "You are invited" : "Draw together"}</h1>
        <p className="welcome__lead">{lead}</p>
        {provider && (
          <div className="welcome__provider">
            <a
              className={guests ? "button button--large" : "button button--primary button--large"}
              href={signInAddress(provider.href, window.location.pathname)}
              data-testid="sign-in"
            >
              {provider.text}
            </a>
            {landed !== null && (
              <p className="field__problem" role="alert">
                {landed}
              </p>
            )}
            {guests && (
              <p className="welcome__or">
                <span>or come in as a guest</span>
              </p>
            )}
            {!guests && !email && !withToken && (
              <button type="button" className="button button--quiet" onClick={() => setWithToken(true)}>
                I have a token
              </button>
            )}
          </div>
        )}
        {(guests || asksToken) && (
          <form onSubmit={(event) => void submit(event)} noValidate>
            {guests ? (
              <label className="field">
                <span className="field__label">Your name</span>
                <span className="welcome__name">
                  <Avatar id={value} name={value || "?"} size={36} />
                  <input
                    ref={field}
                    className="input"
                    name="name"
                    autoComplete="nickname"
                    maxLength={NAME_MAX * 2}
                    value={value}
                    aria-invalid={problem !== null}
                    aria-describedby={problem ? problemId : undefined}
                    onChange={(event) => setValue(event.target.value)}
                  />
                </span>
              </label>
            ) : (
              <label className="field">
                <span className="field__label">Access token</span>
                <input
                  ref={field}
                  className="input"
                  name="token"
                  autoComplete="off"
                  spellCheck={false}
                  value={token}
                  aria-invalid={problem !== null}
                  aria-describedby={problem ? problemId : undefined}
                  onChange={(event) => setToken(event.target.value)}
                />
              </label>
            )}
            {problemLine}
            <div className="welcome__actions">
              <button type="submit" className="button button--primary button--large" disabled={busy}>
                {busy ? "One moment…" : invited ? "Enter the room" : "Start drawing"}
              </button>
              {guests && (
                <button
                  type="button"
                  className="button button--quiet"
                  onClick={() => {
                    setValue(friendlyName());
                    field.current?.focus();
                  }}
                >
                  Another name
                </button>
              )}
            </div>
          </form>
        )}
        {email && (
          <div className="welcome__provider">
            {(guests || provider) && (
              <p className="welcome__or">
                <span>{guests ? "or sign in by e-mail" : "or by e-mail"}</span>
              </p>
            )}
            <EmailForm next={window.location.pathname} mailbox={mailbox} primary={!guests && provider === null} />
            {!guests && !withToken && (
              <button type="button" className="button button--quiet" onClick={() => setWithToken(true)}>
                I have a token
              </button>
            )}
          </div>
        )}
        {!identity.persistent && (
          <p className="welcome__note">This browser keeps nothing, so it will ask again after a reload.</p>
        )}
      </div>
    </main>
  );
}
