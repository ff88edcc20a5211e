/** Chooses the page for the address; the room and its editor are loaded when they are needed. */
import { Component, lazy, Suspense, useEffect, useMemo, type ReactNode } from "react";
import { Lobby } from "../lobby/Lobby";
import { Welcome } from "../identity/Welcome";
import { Notice } from "../ui/Notice";
import { useSession } from "./context";
import { navigate, parseRoute, useAddress } from "./router";
import { useTheme } from "./theme";

const AdminPage = lazy(() => import("../admin/AdminPage"));
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
    if (route.page === "lobby") document.title = "Kanvas";
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
      <PageBoundary key="admin">
        <Suspense fallback={<Loading>Opening the operator’s page…</Loading>}>
          <AdminPage />
        </Suspense>
      </PageBoundary>
    );
  }
  if (!session) return <Welcome invited={route.page === "room"} />;
  return (
    <PageBoundary key={route.page === "room" ? route.id : "lobby"}>
      {route.page === "lobby" ? (
        <Lobby key={session.user.id} />
      ) : (
        <Suspense fallback={<Loading>Opening the room…</Loading>}>
          <RoomPage key={`${session.user.id}/${route.id}`} id={route.id} />
        </Suspense>
      )}
    </PageBoundary>
  );
}
