/** The ways a guest may sign in on this server: at the provider, by e-mail, or none. */
import { useEffect, useState, type ReactNode } from "react";
import { wordsFor } from "../api/errors";
import type { ServerConfig } from "../api/types";
import { useApi } from "../app/context";
import { EmailForm } from "./EmailForm";
import { signInAddress } from "./landing";

export function Ways({ next, autoFocus = false }: { next: string; autoFocus?: boolean }): ReactNode {
  const api = useApi();
  const [config, setConfig] = useState<ServerConfig | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    let live = true;
    api.config().then(
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
  }, [api]);

  if (problem !== null) {
    return (
      <p className="field__problem" role="alert">
        {problem}
      </p>
    );
  }
  if (config === null) return null;
  const provider = config.sign_in ?? null;
  return (
    <div className="ways">
      {provider && (
        <a className={config.email ? "button button--large" : "button button--primary button--large"} href={signInAddress(provider.href, next)}>
          {provider.text}
        </a>
      )}
      {provider && config.email && (
        <p className="welcome__or">
          <span>or by e-mail</span>
        </p>
      )}
      {config.email && <EmailForm next={next} mailbox={config.mailbox ?? false} primary autoFocus={autoFocus} />}
      {!provider && !config.email && <p>This server has no other way to sign in. Its operator can set one up.</p>}
    </div>
  );
}
