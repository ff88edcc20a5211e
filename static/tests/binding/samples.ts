/** One element of every type, with every field Excalidraw 0.18.1 knows. */
import type { ExcalidrawElement } from "@excalidraw/excalidraw/element/types";

type Fields = Record<string, unknown>;

const base = (id: string, type: string): Fields => ({
  id, type, x: 10.5, y: -20.25, width: 100, height: 60, angle: 0.5, strokeColor: "#e03131", backgroundColor: "#ffc9c9",
  fillStyle: "cross-hatch", strokeWidth: 4, strokeStyle: "dashed", roughness: 2, opacity: 70, seed: 1234567, version: 7,
  versionNonce: 99, updated: 1700000000000, index: "a1", isDeleted: false, groupIds: ["g1", "g2"], frameId: "frame-1",
  boundElements: null, link: "https://example.com/a?b=c", locked: true, roundness: { type: 3, value: 12 },
  customData: { mine: { deep: [1, 2, null, "x"] } },
});

const binding = { elementId: "rectangle-1", focus: -0.25, gap: 4.5 };
const fixed = { ...binding, fixedPoint: [0.5, -0.1] };
const points = [[0, 0], [40.5, 10], [100, 60]];

/** By type; `arrow` and `elbow` are both arrows. */
export const SAMPLES: Record<string, Fields> = {
  rectangle: base("rectangle-1", "rectangle"),
  diamond: base("diamond-1", "diamond"),
  ellipse: base("ellipse-1", "ellipse"),
  embeddable: base("embeddable-1", "embeddable"),
  iframe: { ...base("iframe-1", "iframe"), customData: { generationData: { status: "done", html: "<p>hi</p>" } } },
  frame: { ...base("frame-1", "frame"), frameId: null, name: "A frame" },
  magicframe: { ...base("magicframe-1", "magicframe"), frameId: null, name: null },
  text: {
    ...base("text-1", "text"), text: "Grüße\n👋", originalText: "Grüße 👋", fontSize: 28, fontFamily: 6,
    textAlign: "center", verticalAlign: "middle", containerId: "rectangle-1", autoResize: false, lineHeight: 1.35,
  },
  image: {
    ...base("image-1", "image"), fileId: "ab".repeat(32), status: "saved", scale: [-1, 1],
    crop: { x: 1, y: 2, width: 30, height: 20, naturalWidth: 300, naturalHeight: 200 },
  },
  freedraw: {
    ...base("freedraw-1", "freedraw"), points, pressures: [0.1, 0.5, 0.9], simulatePressure: false,
    lastCommittedPoint: [100, 60],
  },
  line: {
    ...base("line-1", "line"), points, lastCommittedPoint: [100, 60], startBinding: null, endBinding: null,
    startArrowhead: null, endArrowhead: null,
  },
  arrow: {
    ...base("arrow-1", "arrow"), points, lastCommittedPoint: null, startBinding: binding,
    endBinding: { ...binding, elementId: "ellipse-1" }, startArrowhead: "dot", endArrowhead: "triangle_outline",
    elbowed: false,
  },
  elbow: {
    ...base("elbow-1", "arrow"), angle: 0, roundness: null, points: [[0, 0], [50, 0], [50, 60]], lastCommittedPoint: null,
    startBinding: fixed, endBinding: null, startArrowhead: null, endArrowhead: "arrow", elbowed: true,
    fixedSegments: [{ start: [0, 0], end: [50, 0], index: 1 }], startIsSpecial: false, endIsSpecial: null,
  },
};

/** A copy of a sample with some fields of your own. */
export function sample(type: string, fields: Fields = {}): ExcalidrawElement {
  return structuredClone({ ...SAMPLES[type], ...fields }) as unknown as ExcalidrawElement;
}
