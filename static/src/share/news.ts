/** What is told beside the document (room/beside.ts) and is about the people of the room. Pure. */

/** Whether members, links or the room's settings changed: what is shown of them has to be asked for anew. */
export function tellsOfPeople(told: unknown): boolean {
  return told !== null && typeof told === "object" && (told as { kind?: unknown }).kind === "people";
}
