/**
 * `/i/{token}`: an invitation that came by mail, and a button.
 *
 * Looking accepts nothing, so that a mail scanner which opens the page does not use it up.
 */
import { useCallback, type ReactNode } from "react";
import type { MyInvitation } from "../api/sharing";
import { Loading } from "../app/App";
import { useApi } from "../app/context";
import { navigate, roomPath } from "../app/router";
import { ahead } from "../app/time";
import { useWork } from "../app/work";
import { DeadEnd, Landing } from "./Landing";
import { useLook } from "./looking";
import { ROLE_DOES } from "./roles";

export default function InvitationPage({ token }: { token: string }): ReactNode {
  const { sharing } = useApi();
  const look = useLook(useCallback((signal: AbortSignal) => sharing.lookAtInvitation(token, signal), [sharing, token]));
  if (look.problem) return <DeadEnd title="This invitation is over" look={look} />;
  return look.found ? <Door token={token} invitation={look.found} /> : <Loading>Opening the invitation…</Loading>;
}

function Door({ token, invitation }: { token: string; invitation: MyInvitation }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const { room, role, invited_by: by } = invitation;
  const accept = () =>
    void work.run(async () => {
      const entry = await sharing.acceptByToken(token);
      navigate(roomPath(entry.room_id), { replace: true });
    });
  return (
    <Landing seed={room.id} title={room.title}>
      <p className="welcome__lead">
        {by.name} invites you to this room. You may {ROLE_DOES[role]} there; the invitation ends {ahead(invitation.expires_at, Date.now())}.
      </p>
      <p className="field__problem" role="alert">
        {work.problem}
      </p>
      <div className="welcome__actions">
        <button type="button" className="button button--primary button--large" autoFocus disabled={work.busy} onClick={accept}>
          {work.busy ? "One moment…" : "Accept the invitation"}
        </button>
        <button type="button" className="button button--quiet" onClick={() => navigate("/", { replace: true })}>
          Not now
        </button>
      </div>
    </Landing>
  );
}
