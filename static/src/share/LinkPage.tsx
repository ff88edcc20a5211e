/**
 * `/l/{token}`: what a share link opens, its password if it has one, and a button.
 *
 * Looking costs the link nothing; only the button uses it, so that a preview in a chat does not use it up.
 */
import { useCallback, useId, useState, type FormEvent, type ReactNode } from "react";
import type { LinkLook } from "../api/sharing";
import { Loading } from "../app/App";
import { useApi } from "../app/context";
import { navigate, roomPath } from "../app/router";
import { useWork } from "../app/work";
import { DeadEnd, Landing } from "./Landing";
import { useLook } from "./looking";
import { ROLE_DOES } from "./roles";

export default function LinkPage({ token }: { token: string }): ReactNode {
  const { sharing } = useApi();
  const look = useLook(useCallback((signal: AbortSignal) => sharing.look(token, signal), [sharing, token]));
  if (look.problem) return <DeadEnd title="This link opens nothing" look={look} />;
  return look.found ? <Door token={token} look={look.found} /> : <Loading>Looking where this leads…</Loading>;
}

function Door({ token, look }: { token: string; look: LinkLook }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const [password, setPassword] = useState("");
  const problemId = useId();
  const { room, role, needs_password: locked } = look;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (locked && password === "") {
      work.refuse("Type the password that came with the link.");
      return;
    }
    void work.run(async () => {
      const entry = await sharing.redeem(token, locked ? password : null);
      navigate(roomPath(entry.room_id), { replace: true });
    });
  };

  return (
    <Landing seed={room?.id ?? "link"} title={room?.title ?? "You are invited"}>
      <p className="welcome__lead">
        {room ? "You are invited to this room." : "The link asks for a password."} You may {ROLE_DOES[role]} there.
      </p>
      <form onSubmit={submit} noValidate>
        {locked && (
          <label className="field">
            <span className="field__label">Password of the link</span>
            <input
              className="input"
              type="password"
              name="link-password"
              autoComplete="off"
              autoFocus
              maxLength={200}
              value={password}
              aria-invalid={work.problem !== null}
              aria-describedby={problemId}
              onChange={(event) => setPassword(event.target.value)}
            />
          </label>
        )}
        <p id={problemId} className="field__problem" role="alert">
          {work.problem}
        </p>
        <button type="submit" className="button button--primary button--large" autoFocus={!locked} disabled={work.busy}>
          {work.busy ? "One moment…" : "Enter the room"}
        </button>
      </form>
    </Landing>
  );
}
