// Shows /api/v1/openapi.json as a page. No library: the document is small and the CSP is strict.
// Everything from the document goes in as text nodes, never as markup.

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// `code` in backquotes, the rest as it is.
function prose(text) {
  const paragraph = make("p", { class: "told" });
  text.split("`").forEach((part, at) => paragraph.append(at % 2 ? make("code", {}, part) : part));
  return paragraph;
}

// Single line breaks of a docstring are only where the source wraps.
function unwrap(text) {
  return text.replace(/([^\n])\n(?![\n-])/g, "$1 ");
}

function resolve(spec, schema) {
  const found = schema.$ref ? spec.components.schemas[schema.$ref.split("/").pop()] : schema;
  return found ?? {};
}

function typeOf(spec, schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(spec, one)).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(spec, schema.items ?? {})}`;
  return [schema.type ?? "anything", schema.format && `(${schema.format})`].filter(Boolean).join(" ");
}

function boundsOf(schema) {
  const variants = [schema, ...(schema.anyOf ?? [])];
  const told = [];
  const words = { minLength: "at least # characters", maxLength: "at most # characters", minimum: "from #",
    maximum: "to #", maxItems: "at most # items" };
  for (const one of variants) {
    for (const [key, text] of Object.entries(words)) if (key in one) told.push(text.replace("#", one[key]));
  }
  if (schema.default !== undefined && schema.default !== null) told.push(`default ${JSON.stringify(schema.default)}`);
  return told.join(", ");
}

function row(spec, name, schema, required, description) {
  const head = make("dt", {}, make("code", {}, name), " ", make("span", { class: "quiet" }, typeOf(spec, schema)));
  if (required) head.append(make("span", { class: "quiet" }, ", required"));
  const told = [description ?? schema.description, boundsOf(schema)].filter(Boolean).join(" · ");
  return told ? [head, make("dd", {}, prose(told))] : [head];
}

function fields(spec, schema, seen = []) {
  const found = resolve(spec, schema);
  const list = make("dl");
  for (const [name, property] of Object.entries(found.properties ?? {})) {
    list.append(...row(spec, name, property, (found.required ?? []).includes(name)));
    const inner = property.$ref ?? property.items?.$ref ?? property.anyOf?.find((one) => one.$ref)?.$ref;
    if (inner && !seen.includes(inner)) {
      list.append(make("dd", {}, fields(spec, { $ref: inner }, [...seen, inner])));
    }
  }
  return list;
}

function content(spec, content_by_type) {
  const parts = [];
  for (const [type, media] of Object.entries(content_by_type ?? {})) {
    parts.push(make("p", {}, make("code", {}, type)));
    if (media.schema) parts.push(fields(spec, media.schema));
  }
  return parts;
}

function curl(method, path, operation) {
  const lines = [`curl -X ${method.toUpperCase()} ${location.origin}${path}`];
  if (operation.security.length) lines.push('  -H "Authorization: Bearer $TOKEN"');
  const type = Object.keys(operation.requestBody?.content ?? {})[0];
  if (type === "application/json") lines.push("  -H 'Content-Type: application/json' -d '{}'");
  else if (type) lines.push(`  -H 'Content-Type: ${type}' --data-binary @file`);
  return make("pre", { tabindex: "0" }, lines.join(" \\\n"));
}

function answers(spec, operation) {
  return Object.entries(operation.responses).map(([status, response]) => {
    const body = make("div", { class: "body" }, prose(response.description));
    for (const [name, header] of Object.entries(response.headers ?? {})) {
      body.append(make("p", { class: "quiet" }, make("code", {}, name), ` ${header.description}`));
    }
    body.append(...content(spec, response.content));
    const first = response.description.split("\n")[0].replace(/^- /, "").replaceAll("`", "");
    return make("details", {}, make("summary", {}, make("strong", {}, status), ` ${first}`), body);
  });
}

function section(spec, method, path, operation) {
  const body = make("div", { class: "body" });
  if (operation.description) body.append(prose(unwrap(operation.description)));
  body.append(make("p", { class: "quiet" }, operation.security.length ? "Needs a token." : "Needs no token."));
  if (operation.parameters.length) {
    const list = make("dl");
    for (const one of operation.parameters) {
      list.append(...row(spec, `${one.name} (${one.in})`, one.schema, one.required, one.description));
    }
    body.append(make("h4", {}, "Parameters"), list);
  }
  if (operation.requestBody) body.append(make("h4", {}, "Body"), ...content(spec, operation.requestBody.content));
  body.append(make("h4", {}, "Try it"), curl(method, path, operation));
  body.append(make("h4", {}, "Answers"), ...answers(spec, operation));
  const head = make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), " ",
    make("code", {}, path), " ", make("span", { class: "quiet" }, operation.summary));
  return make("details", { id: operation.operationId, class: "operation" }, head, body);
}

function show(spec) {
  const main = document.getElementById("content");
  const nav = document.getElementById("contents");
  document.getElementById("intro").append(
    ...spec.info.description.split("\n\n").map((one) => prose(unwrap(one))),
    make("p", { class: "quiet" }, `Version ${spec.info.version}`),
  );
  main.replaceChildren();
  for (const tag of spec.tags) {
    const links = make("ul");
    const group = make("section", {}, make("h2", {}, tag.name), make("p", { class: "quiet" }, tag.description));
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const method of METHODS) {
        const operation = methods[method];
        if (!operation || operation.tags[0] !== tag.name) continue;
        group.append(section(spec, method, path, operation));
        links.append(make("li", {}, make("a", { href: `#${operation.operationId}` }, operation.summary)));
      }
    }
    main.append(group);
    nav.append(make("strong", {}, tag.name), links);
  }
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

function filter(event) {
  const wanted = event.target.value.trim().toLowerCase();
  for (const one of document.querySelectorAll(".operation")) {
    one.hidden = !one.querySelector("summary").textContent.toLowerCase().includes(wanted);
  }
  for (const group of document.querySelectorAll("main section")) {
    group.hidden = !group.querySelector(".operation:not([hidden])");
  }
}

async function start() {
  try {
    const response = await fetch("/api/v1/openapi.json");
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    show(await response.json());
    document.getElementById("filter").addEventListener("input", filter);
    addEventListener("hashchange", openTarget);
    openTarget();
  } catch (error) {
    document.getElementById("state").textContent = `The document could not be shown: ${error.message}`;
  }
}

void start();
