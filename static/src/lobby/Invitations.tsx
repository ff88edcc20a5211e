/**
 * Invitations that wait for me, above my rooms.
 *
 * Owns: looking for them while somebody looks, accepting and declining. What can't be had is as if there were none: who
 * was invited by mail has the mail.
 */
import { useCallback, useState, type ReactNode } from "react";
import type { MyInvitation } from "../api/sharing";
import { useApi } from "../app/context";
import { useLooking } from "../app/looking";
import { ahead } from "../app/time";
import { useWork } from "../app/work";
import { ROLE_DOES } from "../share/roles";

export function Invitations({ onAccepted }: { onAccepted: (room: string) => void }): ReactNode {
  const { sharing } = useApi();
  const [waiting, setWaiting] = useState<readonly MyInvitation[]>([]);

  useLooking(useCallback(async (signal: AbortSignal) => setWaiting((await sharing.myInvitations(signal)).items), [sharing]));

  const drop = useCallback((id: string) => setWaiting((now) => now.filter((one) => one.id !== id)), []);
  if (waiting.length === 0) return null;
  return (
    <ul className="invitations" aria-label="Invitations" data-testid="my-invitations">
      {waiting.map((invitation) => (
        <Row key={invitation.id} invitation={invitation} onAccepted={onAccepted} onDeclined={drop} />
      ))}
    </ul>
  );
}

function Row(props: { invitation: MyInvitation; onAccepted: (room: string) => void; onDeclined: (id: string) => void }): ReactNode {
  const { id, room, role, invited_by: by, expires_at: end } = props.invitation;
  const { sharing } = useApi();
  const work = useWork();
  const accept = () => void work.run(async () => props.onAccepted((await sharing.accept(id)).room_id));
  const decline = async () => {
    if (await work.run(() => sharing.decline(id))) props.onDeclined(id);
  };
  return (
    <li className="invitations__one" data-testid="my-invitation">
      <span className="invitations__words">
        {by.name} invites you to <strong>{room.title}</strong>
        <small>
          You may {ROLE_DOES[role]} there; the invitation ends {ahead(end, Date.now())}.
        </small>
      </span>
      <button type="button" className="button button--quiet" disabled={work.busy} onClick={() => void decline()}>
        Decline<span className="only-read"> the invitation to {room.title}</span>
      </button>
      <button type="button" className="button button--primary" disabled={work.busy} onClick={accept}>
        Accept<span className="only-read"> the invitation to {room.title}</span>
      </button>
      <p className="field__problem" role="alert">
        {work.problem}
      </p>
    </li>
  );
}
