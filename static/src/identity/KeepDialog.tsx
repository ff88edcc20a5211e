/** A guest signs in: by e-mail or at the provider, and keeps the rooms. */
import { useEffect, useState, type ReactNode } from "react";
import { wordsFor } from "../api/errors";
import type { ServerConfig } from "../api/types";
import { useIdentity, useMe } from "../app/context";
import { Dialog } from "../ui/Dialog";
import { EmailForm } from "./EmailForm";
import { signInAddress } from "./landing";

export function KeepDialog({ onClose }: { onClose: () => void }): ReactNode {
  const identity = useIdentity();
  const me = useMe();
  const [config, setConfig] = useState<ServerConfig | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const next = window.location.pathname;

  useEffect(() => {
    let live = true;
    identity.api.config().then(
      (found) => {
        if (live) setConfig(found);
      },
      (error: unknown) => {
        if (live) setProblem(wordsFor(error).detail);
      },
    );
    return () => {
      live = false;
    };
  }, [identity]);

  const provider = config?.sign_in ?? null;
  const none = config !== null && !config.email && provider === null;
  return (
    <Dialog title="Sign in and keep your rooms" onClose={onClose}>
      <p>
        Only this browser knows you as {me.name}. Once you sign in, your rooms and drawings are there wherever you do. Do it in this
        browser, for they come along from here.
      </p>
      {provider && (
        <a className="button button--large" href={signInAddress(provider.href, next)}>
          {provider.text}
        </a>
      )}
      {config?.email && <EmailForm next={next} mailbox={config.mailbox ?? false} primary autoFocus />}
      {none && <p>This server has no other way to sign in. Its operator can set one up.</p>}
      <p className="field__problem" role="alert">
        {problem}
      </p>
    </Dialog>
  );
}
