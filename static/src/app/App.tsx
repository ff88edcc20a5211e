/** Chooses the page for the address; the room and its editor are loaded when they are needed. */
import { Component, lazy, Suspense, useEffect, useMemo, type ReactNode } from "react";
import { Lobby } from "../lobby/Lobby";
import { SignInPage } from "../identity/SignInPage";
import { Welcome } from "../identity/Welcome";
import { Notice } from "../ui/Notice";
import { useSession } from "./context";
import { navigate, parseRoute, useAddress } from "./router";
import { useTheme } from "./theme";

const AccountPage = lazy(() => import("../account/AccountPage"));
const AdminPage = lazy(() => import("../admin/AdminPage"));
const InvitationPage = lazy(() => import("../share/InvitationPage"));
const LinkPage = lazy(() => import("../share/LinkPage"));
const MailboxPage = lazy(() => import("../identity/MailboxPage"));
const RoomPage = lazy(() => import("../room/RoomPage"));

/** A page opened under an older version may ask for a part the server no longer has: loading it anew helps, once. */
class PageBoundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override componentDidCatch(error: unknown): void {
    console.error(error);
  }

  override render(): ReactNode {
    if (this.state.error === null) return this.props.children;
    const part = /dynamically imported module|importing a module script|module script failed/i.test(String(this.state.error));
    return (
      <main className="page page--centred">
        <Notice
          tone="bad"
          title={part ? "A part of Kanvas did not load" : "This page stopped working"}
          action={{ label: "Load it again", run: () => window.location.reload() }}
        >
          {part
            ? "The connection broke, or a new version was installed. What you drew is kept."
            : "What you drew is kept in this browser and on the server. Loading the page again should help."}
        </Notice>
      </main>
    );
  }
}

export function Loading({ children }: { children: ReactNode }): ReactNode {
  return (
    <div className="loading" role="status">
      <span className="loading__dots" aria-hidden="true" />
      {children}
    </div>
  );
}

export function App(): ReactNode {
  const address = useAddress();
  const route = useMemo(() => parseRoute(address.split("?")[0] ?? "/"), [address]);
  const session = useSession();
  useTheme();

  useEffect(() => {
    if (route.page !== "room") document.title = route.page === "account" ? "Account · Kanvas" : "Kanvas";
  }, [route.page]);

  if (route.page === "unknown") {
    return (
      <main className="page page--centred">
        <Notice title="There is no such page" action={{ label: "Go to the lobby", run: () => navigate("/") }}>
          The address may be incomplete.
        </Notice>
      </main>
    );
  }
  if (route.page === "admin") {
    return (
      <Part key="admin" words="Opening the operator’s page…">
        <AdminPage />
      </Part>
    );
  }
  if (route.page === "mailbox") {
    return (
      <Part key="mailbox" words="Opening the mailbox…">
        <MailboxPage />
      </Part>
    );
  }
  if (route.page === "signin") return <SignInPage key={route.secret} secret={route.secret} />;
  if (!session) return <Welcome invited={route.page === "room" || route.page === "link" || route.page === "invitation"} />;
  const me = session.user.id;
  switch (route.page) {
    case "lobby":
      return (
        <PageBoundary key="lobby">
          <Lobby key={me} />
        </PageBoundary>
      );
    case "account":
      return (
        <Part key="account" words="Opening your account…">
          <AccountPage key={me} />
        </Part>
      );
    case "link":
      return (
        <Part key={route.token} words="Looking where this leads…">
          <LinkPage key={me} token={route.token} />
        </Part>
      );
    case "invitation":
      return (
        <Part key={route.token} words="Opening the invitation…">
          <InvitationPage key={me} token={route.token} />
        </Part>
      );
    case "room":
      return (
        <Part key={route.id} words="Opening the room…">
          <RoomPage key={`${me}/${route.id}`} id={route.id} />
        </Part>
      );
  }
}

/** A page that is loaded when it is needed. */
function Part({ words, children }: { words: string; children: ReactNode }): ReactNode {
  return (
    <PageBoundary>
      <Suspense fallback={<Loading>{words}</Loading>}>{children}</Suspense>
    </PageBoundary>
  );
}
