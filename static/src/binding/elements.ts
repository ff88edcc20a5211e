/**
 * Stored groups to an element Excalidraw can draw.
 *
 * Every missing or unusable value gets a default, so that no document can crash the editor; what is shown is
 * never written back for that alone (the shadow keeps what was shown). Pure.
 * Does not own: version and nonce (scene.ts), boundElements (bonds.ts). Source: Excalidraw 0.18.1 data/restore.ts.
 */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";
import { copy, isMetaField, type Groups, type JsonObject } from "./groups";
import {
  MAX_SIZE, readFlag, readId, readIds, readIndex, readLink, readNumber, readNumbers, readObject, readOne, readPair,
  readPairs, readText,
} from "./values";

export const ELEMENT_TYPES = [
  "rectangle", "diamond", "ellipse", "arrow", "line", "freedraw", "text", "image", "frame", "magicframe", "embeddable",
  "iframe",
] as const;
export type ElementType = (typeof ELEMENT_TYPES)[number];

const KNOWN: ReadonlySet<string> = new Set(ELEMENT_TYPES);

type Fields = Record<string, unknown>;

/**
 * The element, or null when its type is unknown here (it stays in the document untouched).
 *
 * `version` is 1 and `versionNonce` 0 until the element enters the scene; `boundElements` is empty until derived.
 */
export function join(id: string, groups: Groups): ExcalidrawElement | null {
  const kind = readObject(groups.kind);
  const type = kind["type"];
  if (typeof type !== "string" || !KNOWN.has(type)) return null;
  const meta = readObject(groups.meta);
  const element: Fields = {
    ...readMeta(id, type, meta),
    ...readStyle(readObject(groups.style)),
    ...readBox(readObject(groups.geometry)),
    id,
    type,
    seed: readNumber(kind["seed"], 1, 0, 2 ** 53),
    version: 1,
    versionNonce: 0,
    updated: 1,
    index: readIndex(groups.z),
    isDeleted: groups.deleted === true,
    boundElements: null,
  };
  Object.assign(element, readParticular(id, type as ElementType, groups, element));
  return element as unknown as ExcalidrawElement;
}

/** The fields only this type has. */
function readParticular(id: string, type: ElementType, groups: Groups, element: Fields): Fields {
  const geometry = readObject(groups.geometry);
  const style = readObject(groups.style);
  switch (type) {
    case "text":
      return readTextFields(id, readObject(groups.text));
    case "image":
      return readImage(readObject(groups.image));
    case "freedraw":
      return readStroke(geometry);
    case "line":
      return readLine(id, geometry, element, false, {
        startArrowhead: readArrowhead(style["startArrowhead"], null),
        endArrowhead: readArrowhead(style["endArrowhead"], null),
      });
    case "arrow":
      return readArrow(id, geometry, style, element);
    case "frame":
    case "magicframe":
      // Frames don't nest; a ring of them would never end.
      return { frameId: null, name: typeof element["name"] === "string" ? element["name"].slice(0, 1000) : null };
    default:
      return {};
  }
}

function readMeta(id: string, type: string, meta: JsonObject): Fields {
  const fields: Fields = {};
  for (const field of Object.keys(meta)) if (isMetaField(type, field)) fields[field] = copy(meta[field]);
  const frameId = readId(meta["frameId"]);
  const roundness = readObject(meta["roundness"]);
  const customData = meta["customData"];
  if (customData !== undefined) {
    if (typeof customData === "object" && customData !== null && !Array.isArray(customData)) {
      fields["customData"] = copy(customData);
    } else delete fields["customData"];
  }
  fields["groupIds"] = readIds(meta["groupIds"]);
  fields["frameId"] = frameId === id ? null : frameId;
  fields["locked"] = readFlag(meta["locked"], false);
  fields["link"] = readLink(meta["link"]);
  fields["roundness"] = [1, 2, 3].includes(roundness["type"] as number)
    ? {
        type: roundness["type"],
        ...(typeof roundness["value"] === "number" ? { value: readNumber(roundness["value"], 0, 0, MAX_SIZE) } : {}),
      }
    : null;
  return fields;
}

function readStyle(style: JsonObject): Fields {
  return {
    strokeColor: readText(style["strokeColor"], "#1e1e1e", 128) || "#1e1e1e",
    backgroundColor: readText(style["backgroundColor"], "transparent", 128) || "transparent",
    fillStyle: readOne(style["fillStyle"], ["hachure", "cross-hatch", "solid", "zigzag"], "solid"),
    strokeWidth: readNumber(style["strokeWidth"], 2, 0.1, 1000),
    strokeStyle: readOne(style["strokeStyle"], ["solid", "dashed", "dotted"], "solid"),
    roughness: readNumber(style["roughness"], 1, 0, 100),
    opacity: readNumber(style["opacity"], 100, 0, 100),
  };
}

function readBox(geometry: JsonObject): Fields {
  const width = readNumber(geometry["width"], 0, -MAX_SIZE, MAX_SIZE);
  const height = readNumber(geometry["height"], 0, -MAX_SIZE, MAX_SIZE);
  const x = readNumber(geometry["x"], 0);
  const y = readNumber(geometry["y"], 0);
  return {
    x: width < 0 ? x + width : x,
    y: height < 0 ? y + height : y,
    width: Math.abs(width),
    height: Math.abs(height),
    angle: readNumber(geometry["angle"], 0, -1e4, 1e4),
  };
}

function readTextFields(id: string, text: JsonObject): Fields {
  const shown = readText(text["text"], "");
  const containerId = readId(text["containerId"]);
  return {
    text: shown,
    originalText: readText(text["originalText"], shown),
    fontSize: readNumber(text["fontSize"], 20, 0.1, 1e4),
    fontFamily: readNumber(text["fontFamily"], 5, 0, 1e6),
    textAlign: readOne(text["textAlign"], ["left", "center", "right"], "left"),
    verticalAlign: readOne(text["verticalAlign"], ["top", "middle", "bottom"], "top"),
    containerId: containerId === id ? null : containerId,
    autoResize: readFlag(text["autoResize"], true),
    lineHeight: readNumber(text["lineHeight"], 1.25, 0.1, 100),
  };
}

function readImage(image: JsonObject): Fields {
  const fileId = readId(image["fileId"]);
  const scale = readPair(image["scale"], 1000);
  const crop = readObject(image["crop"]);
  const sides = ["width", "height", "naturalWidth", "naturalHeight"].map((side) => readNumber(crop[side], 0, 0, MAX_SIZE));
  const [width, height, naturalWidth, naturalHeight] = sides;
  return {
    fileId,
    scale: scale ?? [1, 1],
    crop: sides.every((side) => side > 0)
      ? { x: readNumber(crop["x"], 0), y: readNumber(crop["y"], 0), width, height, naturalWidth, naturalHeight }
      : null,
    status: fileId === null ? "pending" : "saved",
  };
}

function readStroke(geometry: JsonObject): Fields {
  const points = readPairs(geometry["points"]);
  return {
    points: points.length > 0 ? points : [[0, 0]],
    pressures: readNumbers(geometry["pressures"]),
    simulatePressure: readFlag(geometry["simulatePressure"], true),
    lastCommittedPoint: readPair(geometry["lastCommittedPoint"], MAX_SIZE),
  };
}

function readLine(id: string, geometry: JsonObject, element: Fields, elbowed: boolean, heads: Fields): Fields {
  let points = readPairs(geometry["points"]);
  if (points.length === 0) points = [[0, 0]];
  if (points.length === 1) points.push([element["width"] as number, element["height"] as number]);
  return {
    points,
    lastCommittedPoint: readPair(geometry["lastCommittedPoint"], MAX_SIZE),
    startBinding: readBinding(id, geometry["startBinding"], elbowed),
    endBinding: readBinding(id, geometry["endBinding"], elbowed),
    ...heads,
  };
}

function readArrow(id: string, geometry: JsonObject, style: JsonObject, element: Fields): Fields {
  const elbowed = readFlag(geometry["elbowed"], false);
  const fields = readLine(id, geometry, element, elbowed, {
    startArrowhead: readArrowhead(style["startArrowhead"], null),
    endArrowhead: readArrowhead(style["endArrowhead"], "arrow"),
    elbowed,
  });
  if (!elbowed) return fields;
  return {
    ...fields,
    angle: 0,
    fixedSegments: readSegments(geometry["fixedSegments"]),
    startIsSpecial: typeof geometry["startIsSpecial"] === "boolean" ? geometry["startIsSpecial"] : null,
    endIsSpecial: typeof geometry["endIsSpecial"] === "boolean" ? geometry["endIsSpecial"] : null,
  };
}

const ARROWHEADS = [
  "arrow", "bar", "dot", "circle", "circle_outline", "triangle", "triangle_outline", "diamond", "diamond_outline",
  "crowfoot_one", "crowfoot_many", "crowfoot_one_or_many",
];

function readArrowhead(value: unknown, otherwise: string | null): string | null {
  if (value === null) return null;
  return typeof value === "string" && ARROWHEADS.includes(value) ? value : otherwise;
}

/** An elbow arrow holds on to a fixed point of the shape; without one Excalidraw can't route it. */
function readBinding(id: string, value: unknown, elbowed: boolean): Fields | null {
  const binding = readObject(value);
  const elementId = readId(binding["elementId"]);
  const fixedPoint = readPair(binding["fixedPoint"], 1e4);
  if (elementId === null || elementId === id || (elbowed && fixedPoint === null)) return null;
  return {
    elementId,
    focus: readNumber(binding["focus"], 0, -1e4, 1e4),
    gap: readNumber(binding["gap"], 1, -MAX_SIZE, MAX_SIZE),
    ...(fixedPoint ? { fixedPoint } : {}),
  };
}

function readSegments(value: unknown): Fields[] | null {
  if (!Array.isArray(value)) return null;
  const segments: Fields[] = [];
  for (const item of value.slice(0, 1000)) {
    const segment = readObject(item);
    const start = readPair(segment["start"], MAX_SIZE);
    const end = readPair(segment["end"], MAX_SIZE);
    const index = segment["index"];
    if (start && end && Number.isInteger(index)) segments.push({ start, end, index });
  }
  return segments;
}
