/**
 * A file on the canvas that is no picture: a video that plays, or a card with a link.
 *
 * What it shows comes from the element (its maker wrote it there) or from the server; both may be anybody's words, so
 * they are shown as text only, and the address is always made from the asset's id.
 */
import { useEffect, useState, type ReactNode } from "react";
import type { AssetApi } from "../api/assets";
import { DownloadIcon, FileIcon, FilmIcon } from "../ui/icons";
import type { FileFacts } from "./inserter";
import { isVideo, labelOf, sizeWords } from "./kinds";
import { assetLink } from "./links";

const known = new Map<string, FileFacts>();

/** What an element says of its file, or null when that is not whole. */
export function factsOf(customData: unknown): FileFacts | null {
  const file = (customData as { file?: Partial<FileFacts> } | undefined)?.file;
  if (!file || typeof file.name !== "string" || typeof file.type !== "string" || typeof file.size !== "number") return null;
  return { name: file.name, type: file.type, size: file.size };
}

export function Attachment(props: { id: string; facts: FileFacts | null; api: AssetApi }): ReactNode {
  const { id, api } = props;
  const [found, setFound] = useState<FileFacts | null>(known.get(id) ?? null);
  const [missing, setMissing] = useState(false);
  const facts = props.facts ?? found;
  const wanted = facts === null;

  useEffect(() => {
    if (!wanted) return;
    let live = true;
    api.metadata(id).then(
      (asset) => {
        const next = { name: asset.filename, type: asset.content_type, size: asset.size_bytes };
        known.set(id, next);
        if (live) setFound(next);
      },
      () => live && setMissing(true),
    );
    return () => {
      live = false;
    };
  }, [api, id, wanted]);

  if (facts && isVideo(facts.type) && !missing) {
    return (
      <div className="film" data-testid="attachment-video">
        <video src={assetLink(id)} controls preload="metadata" playsInline aria-label={facts.name} onError={() => setMissing(true)} />
      </div>
    );
  }
  const label = facts ? labelOf(facts.type) : "File";
  return (
    <div className="file-card" data-testid="attachment-card">
      <span className="file-card__icon" aria-hidden="true">
        {facts && isVideo(facts.type) ? <FilmIcon /> : <FileIcon />}
        <span className="file-card__type">{label}</span>
      </span>
      <span className="file-card__about">
        <span className="file-card__name">{facts?.name ?? (missing ? "This file can't be loaded" : "A file")}</span>
        <span className="file-card__size">{facts ? sizeWords(facts.size) : ""}</span>
      </span>
      <a className="file-card__link" href={assetLink(id)} target="_blank" rel="noopener noreferrer" download={facts?.name ?? ""} aria-label={`Download ${facts?.name ?? "the file"}`} title="Download">
        <DownloadIcon />
      </a>
    </div>
  );
}
