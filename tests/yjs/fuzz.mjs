// Real Yjs clients against a running server: random edits and disconnects from a seed, then one look at all.
//
//   node fuzz.mjs edit  <ws url> <room> <token> <seed> <clients> <steps> [<longest pause in ms> [<file>]]
//   node fuzz.mjs state <http url> <room> <token>
//
// With a file, others write as well, and are done when it is there. Prints one JSON object; "edit" fails when the
// clients' documents do not become equal, or when in the end somebody does not see everybody's presence.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const packages = createRequire(path.join(import.meta.dirname, "../../static/package.json"));
const Y = packages("yjs");
const { WebsocketProvider } = packages("y-websocket");
const WebSocket = packages("ws");

function mulberry32(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function describe(doc) {
  // roots are typed on first access, so every reader asks for the same ones
  const content = {
    map: doc.getMap("map").toJSON(),
    text: doc.getText("text").toDelta(),
    array: doc.getArray("array").toJSON(),
    xml: doc.getXmlFragment("xml").toString(),
  };
  const vector = [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort((a, b) => a[0] - b[0]);
  const deleted = [...Y.createDeleteSetFromStructStore(doc.store).clients]
    .sort((a, b) => a[0] - b[0])
    .map(([client, ranges]) => [client, ranges.map(({ clock, len }) => [clock, len])]);
  return { content: sortKeys(content), vector, deleted };
}

function sortKeys(value) {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value instanceof Uint8Array) return [...value];
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sortKeys(value[key])]));
  }
  return value;
}

const WORDS = ["a", "kanvas", "ü", "𝄞", "😀 smile", "\n", "日本"];

const whole = (text, at) => (/[\udc00-\udfff]/.test(text.toString()[at] ?? "") ? at - 1 : at);

function edit(doc, random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const map = doc.getMap("map");
  const text = doc.getText("text");
  const array = doc.getArray("array");
  const xml = doc.getXmlFragment("xml");
  const key = `k${Math.floor(random() * 8)}`;
  const moves = [
    () => map.set(key, pick([1, 2.5, true, null, pick(WORDS), { deep: [1, { x: random() }] }])),
    () => map.set(key, new Y.Map([["x", random()], ["word", pick(WORDS)]])),
    () => { const inner = map.get(key); if (inner instanceof Y.Map) inner.set("x", random()); },
    () => map.delete(key),
    () => text.insert(Math.floor(random() * (text.length + 1)), pick(WORDS)),
    () => { if (text.length > 3) text.delete(Math.floor(random() * (text.length - 3)), 3); },
    () => {
      // Yjs itself turns a character into U+FFFD for the one client that formats half of it
      const [start, end] = [random(), random()].map((r) => whole(text, Math.floor(r * text.length))).sort((a, b) => a - b);
      if (start < end) text.format(start, end - start, { bold: random() < 0.5 || null });
    },
    () => array.insert(Math.floor(random() * (array.length + 1)), [pick(WORDS), random()]),
    () => { if (array.length > 2) array.delete(Math.floor(random() * (array.length - 1)), 1); },
    () => array.push([new Uint8Array([1, 2, 3])]),
    () => xml.push([new Y.XmlElement(pick(["p", "h1"]))]),
  ];
  doc.transact(() => { for (let n = 1 + Math.floor(random() * 3); n > 0; n--) pick(moves)(); });
}

// Reads nothing for a while, as a tab in the background does.
function stall(socket, ms) {
  socket?.pause();
  setTimeout(() => socket?.resume(), ms);
}

async function editAll(url, room, token, seed, clients, steps, pause, others) {
  const random = mulberry32(seed);
  const peers = Array.from({ length: clients }, () => {
    const doc = new Y.Doc();
    const provider = new WebsocketProvider(url, room, doc, {
      WebSocketPolyfill: WebSocket, disableBc: true, params: { token }, maxBackoffTime: 200,
    });
    return { doc, provider };
  });
  for (let step = 0; step < steps; step++) {
    const { doc, provider } = peers[Math.floor(random() * peers.length)];
    const dice = random();
    if (dice < 0.08) provider.disconnect();
    else if (dice < 0.18) provider.connect();
    else if (dice < 0.2) provider.ws?.terminate?.();
    else if (dice < 0.23) stall(provider.ws?._socket, random() * 300);
    else if (dice < 0.3) provider.awareness.setLocalStateField("cursor", step);
    else edit(doc, random);
    if (dice > 0.7) await sleep(Math.floor(random() * pause));
  }
  for (const { provider } of peers) {
    provider.connect();
    provider.awareness.setLocalStateField("cursor", "end");
  }
  const end = Date.now() + 120_000;
  while (others && !existsSync(others) && Date.now() < end) await sleep(20);
  let seen = [];
  while (Date.now() < end) {
    await sleep(50);
    seen = peers.map(({ doc }) => JSON.stringify(describe(doc)));
    const pending = peers.some(({ doc }) => doc.store.pendingStructs || doc.store.pendingDs);
    const present = peers.every(({ provider }) => {
      const ends = [...provider.awareness.getStates().values()].filter(({ cursor }) => cursor === "end");
      return ends.length === peers.length;
    });
    const synced = peers.every(({ provider }) => provider.synced);
    if (!pending && synced && present && seen.every((one) => one === seen[0])) {
      console.log(seen[0]);
      process.exit(0);
    }
  }
  console.error(`seed ${seed}: the documents are not equal\n${seen.join("\n")}`);
  process.exit(1);
}

async function state(url, room, token) {
  const headers = { Authorization: `Bearer ${token}`, Accept: "application/octet-stream" };
  const answer = await fetch(`${url}/parties/${room}`, { headers });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  const doc = new Y.Doc();
  Y.applyUpdate(doc, new Uint8Array(await answer.arrayBuffer()));
  if (doc.store.pendingStructs || doc.store.pendingDs) throw new Error("the server's state has a gap");
  console.log(JSON.stringify(describe(doc)));
}

const [mode, url, room, token, seed, clients, steps, pause = 4, others] = process.argv.slice(2);
if (mode === "edit") await editAll(url, room, token, Number(seed), Number(clients), Number(steps), Number(pause), others);
else await state(url, room, token);
