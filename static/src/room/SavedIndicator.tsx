/** Whether my changes are on the server's disk; green only when they are. */
import { useEffect, useState, type ReactNode } from "react";
import type { Saved, SavedStatus } from "../binding";
import { CheckIcon, OfflineIcon } from "../ui/icons";
import { savedWords, type Link } from "./words";

export function SavedIndicator({ saved, link, frozen, looking }: { saved: Saved; link: Link; frozen: boolean; looking: boolean }): ReactNode {
  const [status, setStatus] = useState<SavedStatus>(() => saved.status);
  useEffect(() => saved.subscribe(setStatus), [saved]);
  const words = savedWords(status, link, frozen, looking);
  return (
    <span
      className={`saved saved--${words.status}`}
      role="status"
      title={words.detail}
      data-testid="saved"
      data-status={words.status}
      data-waiting={status.waiting}
      data-link={link}
    >
      {words.status === "saved" ? <CheckIcon /> : words.status === "offline" ? <OfflineIcon /> : <span className="saved__dot" aria-hidden="true" />}
      <span className="saved__label">{words.label}</span>
    </span>
  );
}
