/** Mails that stayed on this machine, for who tries Kanvas out without a mail server. */
import { useEffect, useState, type ReactNode } from "react";
import type { KeptMail } from "../api/account";
import { ApiError, wordsFor } from "../api/errors";
import { useApi } from "../app/context";
import { navigate } from "../app/router";
import { Logo } from "../ui/Logo";
import { Notice } from "../ui/Notice";
import { piecesOf } from "./links";

const LOOK_MS = 2000;

export default function MailboxPage(): ReactNode {
  const api = useApi();
  const [mails, setMails] = useState<readonly KeptMail[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    document.title = "Mailbox · Kanvas";
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const look = async () => {
      try {
        setMails(await api.account.mailbox(leaving.signal));
        setProblem(null);
      } catch (error) {
        if (leaving.signal.aborted) return;
        const off = error instanceof ApiError && error.code === "mailbox_off";
        setProblem(off ? error.message : wordsFor(error).detail);
        if (off) return;
      }
      timer = setTimeout(() => void look(), LOOK_MS);
    };
    void look();
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [api]);

  return (
    <main className="page mailbox">
      <header className="mailbox__head">
        <Logo />
        <h1>Mailbox</h1>
        <p>Without a mail server the mails of this Kanvas stay here, and only this machine can read them.</p>
      </header>
      {problem !== null && (
        <Notice tone="bad" title="There are no mails to show" action={{ label: "Go to the lobby", run: () => navigate("/") }}>
          {problem}
        </Notice>
      )}
      {problem === null && mails?.length === 0 && (
        <Notice title="Nothing yet">A mail appears here as soon as it is sent. This page looks by itself.</Notice>
      )}
      {problem === null && (
        <ul className="mailbox__list" aria-live="polite">
          {(mails ?? []).map((mail) => (
            <li key={mail.id} className="mail" data-testid="mail">
              <h2>{mail.subject}</h2>
              <p className="mail__meta">
                To {mail.to} · <time dateTime={mail.sent_at}>{new Date(mail.sent_at).toLocaleString()}</time>
              </p>
              <p className="mail__text">
                {piecesOf(mail.text).map((piece, n) =>
                  piece.kind === "link" ? (
                    <a key={n} href={piece.text}>
                      {piece.text}
                    </a>
                  ) : (
                    piece.text
                  ),
                )}
              </p>
            </li>
          ))}
        </ul>
      )}
    </main>
  );
}
