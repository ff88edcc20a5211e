/**
 * The room's files beside the canvas: find one, put it on the canvas again without a new upload, download it, add more.
 *
 * They can be dragged onto it, too.
 */
import { useCallback, useEffect, useId, useState, type FormEvent, type ReactNode } from "react";
import type { Asset } from "../api/assets";
import type { Api } from "../api/client";
import { wordsFor } from "../api/errors";
import { ago } from "../app/time";
import type { Assets } from "../room/assets";
import { Drawer, DrawerProblem } from "../ui/Drawer";
import { DownloadIcon, FileIcon, FilmIcon, LinkIcon, PlusIcon, SearchIcon, UploadIcon } from "../ui/icons";
import { isVideo, kindOfType, labelOf, sizeWords } from "./kinds";
import { assetLink } from "./links";
import { matching, useAssetList } from "./useAssetList";
import { ASSET_TYPE } from "./useIntake";

export interface AssetDrawerProps {
  readonly api: Api;
  readonly assets: Assets;
  readonly frozen: boolean;
  /** The name of somebody in the room; null for those who aren't. */
  readonly nameOf: (userId: string) => string | null;
  readonly onAdd: (asset: Asset) => void;
  readonly onUpload: () => void;
  readonly onClose: () => void;
}

export function AssetDrawer(props: AssetDrawerProps): ReactNode {
  const { api, assets, frozen, onClose } = props;
  const [query, setQuery] = useState("");
  const list = useAssetList(api, assets.room, assets.subscribe);
  const shown = matching(list.items, query);

  return (
    <Drawer title="Files" closing="Close files" testId="asset-drawer" onClose={onClose}>
      <div className="drawer__tools">
        <div className="drawer__search">
          <SearchIcon />
          <input
            className="input"
            type="search"
            aria-label="Search files by name"
            placeholder="Search by name"
            value={query}
            data-autofocus
            onChange={(event) => setQuery(event.target.value)}
          />
        </div>
        {!frozen && (
          <button type="button" className="button" onClick={props.onUpload}>
            <UploadIcon />
            Upload files
          </button>
        )}
      </div>
      {!frozen && <ImportField api={api} assets={assets} onAdd={props.onAdd} />}
      <div className="drawer__body">
        {list.stage === "loading" && list.items.length === 0 && <Bones />}
        {list.stage === "failed" && list.words && <DrawerProblem words={list.words} onRetry={list.again} />}
        {list.stage === "ready" && list.items.length === 0 && (
          <div className="drawer__note" data-testid="drawer-empty">
            <strong>No files yet</strong>
            <span>Drop pictures, PDFs or videos on the canvas, paste them, or upload them here.</span>
          </div>
        )}
        {query !== "" && shown.length === 0 && list.items.length > 0 && (
          <div className="drawer__note" role="status">
            <strong>Nothing by that name</strong>
            {list.hasMore && <span>Older files are not loaded yet.</span>}
          </div>
        )}
        {shown.length > 0 && (
          <ul className="drawer__list">
            {shown.map((asset) => (
              <Row key={asset.id} asset={asset} {...props} />
            ))}
          </ul>
        )}
        {list.hasMore && list.stage !== "failed" && (
          <button type="button" className="button drawer__more" disabled={list.stage === "more"} onClick={list.more}>
            {list.stage === "more" ? "Loading…" : "Show older files"}
          </button>
        )}
      </div>
    </Drawer>
  );
}

function Row({ asset, frozen, nameOf, onAdd }: AssetDrawerProps & { asset: Asset }): ReactNode {
  const { filename, content_type: type, size_bytes: bytes, user_id: userId } = asset;
  const who = userId ? nameOf(userId) : null;
  const when = ago(asset.created_at, Date.now());
  const add = (
    <>
      <Thumb asset={asset} />
      <span className="drawer__about">
        <span className="drawer__name">{filename}</span>
        <span className="drawer__meta">
          {labelOf(type)} · {sizeWords(bytes)}
        </span>
        <span className="drawer__meta">{who ? `${who}, ${when}` : when}</span>
      </span>
    </>
  );
  return (
    <li
      className="drawer__row"
      data-testid="asset"
      draggable={!frozen}
      onDragStart={(event) => {
        event.dataTransfer.setData(ASSET_TYPE, JSON.stringify(asset));
        event.dataTransfer.effectAllowed = "copy";
      }}
    >
      {frozen ? (
        <span className="drawer__add">{add}</span>
      ) : (
        <button type="button" className="drawer__add" onClick={() => onAdd(asset)} aria-label={`Add ${filename} to the canvas`} title="Add to the canvas">
          {add}
          <span className="drawer__plus" aria-hidden="true">
            <PlusIcon />
          </span>
        </button>
      )}
      <a className="drawer__download" href={assetLink(asset.id)} download={filename} aria-label={`Download ${filename}`} title="Download">
        <DownloadIcon />
      </a>
    </li>
  );
}

function Thumb({ asset }: { asset: Asset }): ReactNode {
  const [broken, setBroken] = useState(false);
  const { content_type: type, color } = asset;
  const small = asset.renditions.find(({ name }) => name === "thumb")?.url ?? `${asset.url}${asset.url.includes("?") ? "&" : "?"}rendition=thumb`;
  return (
    <span className="drawer__thumb" style={color ? { background: color } : undefined} aria-hidden="true">
      {kindOfType(type) === "picture" && !broken ? (
        <img src={small} alt="" loading="lazy" decoding="async" draggable={false} onError={() => setBroken(true)} />
      ) : isVideo(type) ? (
        <FilmIcon />
      ) : (
        <FileIcon />
      )}
    </span>
  );
}

/** The server fetches a file from elsewhere; how far it is, only the server knows. */
function ImportField({ api, assets, onAdd }: { api: Api; assets: Assets; onAdd: (asset: Asset) => void }): ReactNode {
  const [url, setUrl] = useState("");
  const [busy, setBusy] = useState<AbortController | null>(null);
  const [problem, setProblem] = useState("");
  const problemId = useId();

  useEffect(() => () => busy?.abort(), [busy]);

  const run = useCallback(
    async (event: FormEvent) => {
      event.preventDefault();
      const address = url.trim();
      if (!address || busy) return;
      if (!/^https?:\/\/[^\s/]+/i.test(address)) {
        setProblem("A link starts with https:// or http://.");
        return;
      }
      const abort = new AbortController();
      setBusy(abort);
      setProblem("");
      try {
        const asset = await api.assets.importFrom(assets.room, address, abort.signal);
        setUrl("");
        assets.noteStored();
        onAdd(asset);
      } catch (error) {
        if (!abort.signal.aborted) setProblem(wordsFor(error).detail);
      } finally {
        setBusy(null);
      }
    },
    [api, assets, busy, onAdd, url],
  );

  return (
    <form className="drawer__import" onSubmit={(event) => void run(event)} noValidate>
      <div className="drawer__search">
        <LinkIcon />
        <input
          className="input"
          type="url"
          inputMode="url"
          aria-label="Import from a link"
          placeholder="Import from a link"
          value={url}
          disabled={busy !== null}
          aria-invalid={problem !== ""}
          aria-describedby={problem ? problemId : undefined}
          onChange={(event) => {
            setUrl(event.target.value);
            setProblem("");
          }}
        />
      </div>
      {busy ? (
        <button type="button" className="button" onClick={() => busy.abort()}>
          Cancel
        </button>
      ) : (
        <button type="submit" className="button" disabled={url.trim() === ""}>
          Import
        </button>
      )}
      {busy && <span className="bar bar--unknown" role="progressbar" aria-label="The server fetches the file" />}
      {problem && (
        <p className="drawer__problem" id={problemId} role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

function Bones(): ReactNode {
  return (
    <ul className="drawer__list" role="status" aria-label="Loading the files">
      {[0, 1, 2, 3].map((number) => (
        <li className="drawer__row" key={number} aria-hidden="true">
          <span className="drawer__add">
            <span className="drawer__thumb" />
            <span className="drawer__about">
              <span className="bone bone--title" />
              <span className="bone" />
            </span>
          </span>
        </li>
      ))}
    </ul>
  );
}
