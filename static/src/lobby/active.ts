/**
 * Public rooms with people in them, for whoever looks at the public list.
 *
 * Owns: asking for them. Does not own: when that is due: whenever the list that they are shown above is another one.
 * What can't be had is as if there were none: it is an extra.
 */
import { useEffect, useState } from "react";
import type { Room } from "../api/types";
import { useApi } from "../app/context";

const MOST = 6;
const NONE: readonly Room[] = [];

/** `list` is the public list as it is shown; null asks for nothing. */
export function useActiveRooms(list: readonly Room[] | null): readonly Room[] {
  const api = useApi();
  const [rooms, setRooms] = useState(NONE);

  useEffect(() => {
    if (!list) return;
    const stop = new AbortController();
    const show = (found: readonly Room[]) => {
      if (!stop.signal.aborted) setRooms(found);
    };
    api.listActiveRooms(MOST, stop.signal).then(
      (found) => show(found.items),
      () => show(NONE),
    );
    return () => stop.abort();
  }, [api, list]);

  return list ? rooms : NONE;
}
