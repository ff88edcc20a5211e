/** Stands in for the mermaid converter: it always refuses, and Excalidraw then pastes the text as text. */
export async function parseMermaidToExcalidraw(): Promise<never> {
  throw new Error("Mermaid diagrams are not part of Kanvas; the text is pasted as it is.");
}
