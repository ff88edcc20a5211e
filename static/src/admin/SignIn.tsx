/** The operator's door: a token from the command line, kept in this tab only. */
import { useId, useState, type FormEvent, type ReactNode } from "react";

export function SignIn(props: { refused: string | null; onToken: (token: string) => void }): ReactNode {
  const [value, setValue] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const problemId = useId();
  const helpId = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const token = value.trim();
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
      setProblem("This is not a token; it has three parts with dots between.");
      return;
    }
    setProblem(null);
    props.onToken(token);
  };
  return (
    <form className="operator" onSubmit={submit} noValidate>
      <h1>For the operator</h1>
      <p id={helpId}>
        On the server, type <code>kanvas token --admin</code> and paste here what it prints. It stays in this tab and is forgotten with it.
      </p>
      <label className="field">
        <span className="field__label">Operator’s token</span>
        <input
          className="input"
          type="password"
          name="operator-token"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          value={value}
          aria-invalid={problem !== null}
          aria-describedby={`${helpId} ${problemId}`}
          onChange={(event) => setValue(event.target.value)}
        />
      </label>
      <p id={problemId} className="field__problem" role="alert">
        {problem ?? props.refused}
      </p>
      <button type="submit" className="button button--primary button--large">
        Look
      </button>
    </form>
  );
}
