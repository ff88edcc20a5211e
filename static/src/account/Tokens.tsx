/** Personal tokens, for scripts: make with just what they need, copy once, revoke. */
import { useCallback, useId, useState, type FormEvent, type ReactNode } from "react";
import type { MadeToken, PersonalToken, TokenScope } from "../api/account";
import { useApi, useIdentity } from "../app/context";
import { usePages } from "../app/pages";
import { useWork } from "../app/work";
import { Confirm } from "../ui/Confirm";
import { PlusIcon } from "../ui/icons";
import { ListState } from "../ui/ListState";
import { Secret } from "../ui/Secret";
import { SCOPE_WORDS, scopesFor, TOKEN_TERMS, tokenWords } from "./words";

export function Tokens(): ReactNode {
  const { account } = useApi();
  const list = usePages(useCallback((cursor: string | null, signal: AbortSignal) => account.tokens(cursor, signal), [account]));
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<MadeToken | null>(null);
  const headId = useId();
  return (
    <section className="panel" aria-labelledby={headId}>
      <h2 id={headId}>Personal tokens</h2>
      <p className="panel__note">
        For scripts that use the <a href="/api/v1/docs">API</a> or draw in your name. A token may do what you chose for it, until you revoke it.
      </p>
      <ul className="panel__list" data-testid="tokens">
        {list.items.map((token) => (
          <Row
            key={token.id}
            token={token}
            onRevoked={() => {
              // Nobody is to copy what is good for nothing.
              if (made?.id === token.id) setMade(null);
              list.reload();
            }}
          />
        ))}
      </ul>
      {list.stage === "ready" && list.items.length === 0 && !making && <p className="panel__note">You have none.</p>}
      <ListState list={list} what="tokens" />
      {made && (
        <Secret label={`The token “${made.name}”`} value={made.token} testId="new-token">
          Copy it now: it is not shown again. Whoever has it acts as you.
        </Secret>
      )}
      {making ? (
        <TokenForm
          onClose={() => setMaking(false)}
          onDone={(token) => {
            setMade(token);
            setMaking(false);
            list.reload();
          }}
        />
      ) : (
        <div className="panel__actions">
          <button type="button" className="button" onClick={() => setMaking(true)}>
            <PlusIcon />
            Make a token
          </button>
        </div>
      )}
    </section>
  );
}

function TokenForm(props: { onClose: () => void; onDone: (token: MadeToken) => void }): ReactNode {
  const { account } = useApi();
  const offered = scopesFor(useIdentity().isOperator);
  const work = useWork();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly TokenScope[]>(["rooms:read"]);
  const [days, setDays] = useState(30);
  const problemId = useId();

  const toggle = (scope: TokenScope) =>
    setScopes(offered.filter((one) => (one === scope ? !scopes.includes(scope) : scopes.includes(one))));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() === "") return work.refuse("Give it a name, so that you know it again.");
    if (scopes.length === 0) return work.refuse("Choose what it may do.");
    void work.run(async () =>
      props.onDone(await account.makeToken({ name: name.trim(), scopes, ...(days > 0 ? { expires_in_days: days } : {}) })),
    );
  };

  return (
    <form className="panel__form" aria-label="A new token" onSubmit={submit} noValidate>
      <label className="field">
        <span className="field__label">What for</span>
        <input
          className="input"
          name="token-name"
          autoFocus
          autoComplete="off"
          maxLength={64}
          placeholder="Nightly export"
          value={name}
          aria-describedby={problemId}
          onChange={(event) => setName(event.target.value)}
        />
      </label>
      <fieldset className="panel__scopes">
        <legend className="field__label">What it may do</legend>
        {offered.map((scope) => (
          <label key={scope} className="check">
            <input type="checkbox" name={scope} checked={scopes.includes(scope)} onChange={() => toggle(scope)} />
            <span>
              {SCOPE_WORDS[scope]} <code>{scope}</code>
            </span>
          </label>
        ))}
      </fieldset>
      <label className="field panel__term">
        <span className="field__label">Ends</span>
        <select className="select" value={days} onChange={(event) => setDays(Number(event.target.value))}>
          {TOKEN_TERMS.map((term) => (
            <option key={term.days} value={term.days}>
              {term.label}
            </option>
          ))}
        </select>
      </label>
      <p id={problemId} className="field__problem" role="alert">
        {work.problem}
      </p>
      <div className="panel__actions">
        <button type="submit" className="button button--primary" disabled={work.busy}>
          {work.busy ? "Making it…" : "Make the token"}
        </button>
        <button type="button" className="button button--quiet" onClick={props.onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}

function Row({ token, onRevoked }: { token: PersonalToken; onRevoked: () => void }): ReactNode {
  const { account } = useApi();
  const work = useWork();
  const [asked, setAsked] = useState(false);
  const revoke = async () => {
    if (await work.run(() => account.revokeToken(token.id))) onRevoked();
  };
  return (
    <li className="panel__row" data-testid="token">
      <span className="panel__what">
        <strong>{token.name}</strong>
        <small>{tokenWords(token, Date.now())}</small>
        <span className="panel__codes">
          {token.scopes.map((scope) => (
            <code key={scope}>{scope}</code>
          ))}
        </span>
      </span>
      <button type="button" className="button button--quiet" disabled={work.busy} onClick={() => setAsked(true)}>
        Revoke<span className="only-read"> {token.name}</span>
      </button>
      {asked && (
        <Confirm yes="Revoke" no="Keep" busy={work.busy} onNo={() => setAsked(false)} onYes={() => void revoke()}>
          Revoke “{token.name}”? Scripts that use it stop working at once.
        </Confirm>
      )}
      {work.problem !== null && (
        <p className="field__problem" role="alert">
          {work.problem}
        </p>
      )}
    </li>
  );
}
