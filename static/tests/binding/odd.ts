/** Groups as no editor of ours would store them: another client, a newer version, an open room may. */
import type { Groups } from "../../src/binding/groups";

const geometry = { x: 1, y: 2, width: 30, height: 40, angle: 0 };
const style = { strokeColor: "#1971c2", backgroundColor: "#ffec99" };

export const ODD: Record<string, Groups> = {
  bare: { kind: { type: "rectangle" } },
  unknown: { kind: { type: "hologram", seed: 1 }, geometry },
  untyped: { geometry, style },
  mirrored: { kind: { type: "ellipse", seed: 5 }, geometry: { x: 10, y: 20.5, width: -30, height: -40, angle: 1e9 }, style },
  gone: { kind: { type: "diamond", seed: 6 }, geometry, style, z: "a2", deleted: true },
  huge: { kind: { type: "rectangle", seed: -3 }, geometry: { x: 1e12, y: -1e12, width: 1e9, height: 1e9, angle: 0 }, style: { ...style, strokeWidth: 0, opacity: 500, roughness: "much", fillStyle: "gradient" } },
  coloured: { kind: { type: "rectangle", seed: 7 }, style: { strokeColor: "", backgroundColor: 3, strokeStyle: null } },
  first: { kind: { type: "rectangle", seed: 8 }, geometry, z: "Zz" },
  misplaced: { kind: { type: "rectangle", seed: 9 }, geometry, z: "a10" },
  unplaced: { kind: { type: "rectangle", seed: 10 }, geometry, z: "not one" },
  twin: { kind: { type: "rectangle", seed: 11 }, geometry, z: "a1" },
  "\u{1F58A} pen": { kind: { type: "rectangle", seed: 12 }, geometry, z: "a1" },
  "\uFF21 wide": { kind: { type: "rectangle", seed: 13 }, geometry, z: "a1" },
  script: { kind: { type: "rectangle", seed: 14 }, geometry, meta: { link: "java\u0000script:alert(1)", frameId: "script", groupIds: ["g", "", 3, "h"], locked: "yes", roundness: { type: 9 }, customData: [1] } },
  phone: { kind: { type: "rectangle", seed: 15 }, geometry, meta: { link: "tel:+49", roundness: { type: 2, value: -1 }, text: "not mine", points: [[1, 2]], isDeleted: true, future: { deep: [1, { two: null }] }, customData: { a: 1 } } },
  port: { kind: { type: "rectangle", seed: 16 }, geometry, meta: { link: "example.com:8080/x" } },
  label: { kind: { type: "text", seed: 17 }, geometry, text: { text: "mine", containerId: "rectangle-1", fontSize: 1e9, textAlign: "middle", lineHeight: 0 }, z: "a3" },
  narcissus: { kind: { type: "text", seed: 18 }, text: { originalText: 5, containerId: "narcissus" } },
  "gone label": { kind: { type: "text", seed: 19 }, text: { text: "x", containerId: "rectangle-1" }, deleted: true },
  photo: { kind: { type: "image", seed: 20 }, geometry, image: { fileId: "", scale: [1], crop: { x: 1, y: 1, width: 0, height: 1, naturalWidth: 1, naturalHeight: 1 } } },
  dot: { kind: { type: "freedraw", seed: 21 }, geometry: { ...geometry, points: [[1], "x", [2, null]], pressures: [0.5, "hard", 2e9], simulatePressure: 1, lastCommittedPoint: [1] } },
  stub: { kind: { type: "line", seed: 22 }, geometry: { ...geometry, points: [[0, 0]] }, style: { ...style, startArrowhead: "spear", endArrowhead: "bar" } },
  loop: { kind: { type: "arrow", seed: 23 }, geometry: { ...geometry, points: [[0, 0], [5, 5, 5]], startBinding: { elementId: "loop" }, endBinding: { elementId: "rectangle-1", focus: "x", fixedPoint: [1, 2e9] } }, style: { endArrowhead: null } },
  both: { kind: { type: "arrow", seed: 24 }, geometry: { ...geometry, startBinding: { elementId: "ellipse-1" }, endBinding: { elementId: "ellipse-1", gap: -5 } } },
  bent: { kind: { type: "arrow", seed: 25 }, geometry: { ...geometry, elbowed: true, startBinding: { elementId: "ellipse-1" }, fixedSegments: [{ start: [0, 0], end: [1, 1], index: 1 }, { start: [0, 0], index: 2 }, { start: [0, 0], end: [1, 1], index: 1.5 }, null], startIsSpecial: "no" } },
  nested: { kind: { type: "frame", seed: 26 }, geometry, meta: { frameId: "frame-1", name: 4 } },
  named: { kind: { type: "rectangle", seed: 27 }, geometry, meta: { name: "kept" } },
};
