/** `/i/{token}`: an invitation that came by mail, and a button; mail scanners that open it accept nothing. */
import type { ReactNode } from "react";
import { useApi } from "../app/context";
import { navigate, roomPath } from "../app/router";
import { useWork } from "../app/work";
import { Landing } from "./Landing";

export default function InvitationPage({ token }: { token: string }): ReactNode {
  const { sharing } = useApi();
  const work = useWork();
  const accept = () =>
    void work.run(async () => {
      const entry = await sharing.acceptByToken(token);
      navigate(roomPath(entry.room_id), { replace: true });
    });
  return (
    <Landing seed="invitation" title="You are invited to draw">
      <p className="welcome__lead">Accept the invitation, and the room is among yours from then on.</p>
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
