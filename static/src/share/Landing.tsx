/** The sheet of a page that somebody comes to by a link: where it leads, and one button. */
import type { ReactNode } from "react";
import { useMe } from "../app/context";
import { navigate } from "../app/router";
import { Avatar } from "../ui/Avatar";
import { Doodle } from "../ui/Doodle";
import { Logo } from "../ui/Logo";
import type { Look } from "./looking";

export function Landing({ seed, title, children }: { seed: string; title: string; children: ReactNode }): ReactNode {
  const me = useMe();
  return (
    <main className="welcome">
      <div className="welcome__sheet" data-testid="landing">
        <Doodle seed={seed} className="welcome__doodle" />
        <Logo />
        <h1>{title}</h1>
        {children}
        <p className="welcome__note welcome__as">
          <Avatar id={me.id} name={me.name} size={24} />
          <span>You come in as {me.name}.</span>
        </p>
      </div>
    </main>
  );
}

/** It leads nowhere, or nobody can tell now: the server's sentence, and the way to the lobby. */
export function DeadEnd({ title, look }: { title: string; look: Look<unknown> }): ReactNode {
  const retry = look.problem?.retry ?? false;
  return (
    <Landing seed="dead-end" title={retry ? "Not yet" : title}>
      <p className="welcome__lead" role="alert">
        {look.problem?.words}
      </p>
      <div className="welcome__actions">
        {retry && (
          <button type="button" className="button button--primary button--large" onClick={look.again}>
            Try again
          </button>
        )}
        <button type="button" className={retry ? "button button--quiet" : "button button--primary button--large"} onClick={() => navigate("/", { replace: true })}>
          Go to the lobby
        </button>
      </div>
    </Landing>
  );
}
