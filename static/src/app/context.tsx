/** What every page shares: who I am, and a way to say something in passing. */
import { createContext, useContext, useEffect, useSyncExternalStore } from "react";
import type { Api } from "../api/client";
import type { Me } from "../api/types";
import type { Identity, Session } from "../identity/session";

export const IdentityContext = createContext<Identity | null>(null);

export function useIdentity(): Identity {
  const identity = useContext(IdentityContext);
  if (!identity) throw new Error("IdentityContext is missing");
  return identity;
}

export function useApi(): Api {
  return useIdentity().api;
}

/** The session, or null when signed out; pages below the gate use `useMe`. */
export function useSession(): Session | null {
  const identity = useIdentity();
  return useSyncExternalStore(identity.subscribe, identity.current);
}

export function useMe(): Session["user"] {
  const session = useSession();
  if (!session) throw new Error("signed out");
  return session.user;
}

/** What the server says of me; null until it does. Asked anew with each token. */
export function useAccount(): Me | null {
  const identity = useIdentity();
  const token = useSession()?.token;
  useEffect(() => {
    void identity.look();
  }, [identity, token]);
  return useSyncExternalStore(identity.subscribe, identity.account);
}
