// Finding things by what is typed, in the same way as the manager does (src/skep/topology/find.py).

const KEYS = ["host", "net", "service", "state"];

/** Whether all words of a text fit a thing. */
export function fits(graph, thing, text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean).every((word) => one(graph, thing, word));
}

function one(graph, thing, word) {
  const [key, ...rest] = word.split(":");
  if (!rest.length || !KEYS.includes(key)) {
    return words(graph, thing).some((each) => each.toLowerCase().includes(word));
  }
  const wanted = rest.join(":");
  return said(graph, thing, key).some((each) => each.toLowerCase().includes(wanted));
}

function said(graph, thing, key) {
  if (key === "state") return [thing.state ?? "ok"];
  if (key === "host") {
    return names(graph, [thing.parent, ...(thing.kind === "host" ? [thing.id] : [])]);
  }
  if (key === "net") return names(graph, [...(thing.networks ?? []), thing.id], "network");
  return names(graph, [thing.service, thing.id], "service");
}

function names(graph, ids, kind) {
  return ids
    .map((id) => graph.thing(id))
    .filter((each) => each && (!kind || each.kind === kind))
    .map((each) => each.name);
}

function words(graph, thing) {
  return [
    thing.name,
    thing.namespace ?? "",
    thing.id.split(":").slice(1).join(":"),
    ...Object.values(thing.facts ?? {}),
    ...(thing.parts ?? []).map((part) => part.address ?? ""),
    ...names(graph, [thing.service, ...(thing.networks ?? [])]),
  ];
}

/** A text with a word like `net:shop` put in, or taken out if it is there. */
export function toggled(text, key, value) {
  const words = text.split(/\s+/).filter(Boolean);
  const word = `${key}:${value}`;
  const others = words.filter((each) => !each.startsWith(`${key}:`));
  return (words.includes(word) ? others : [...others, word]).join(" ");
}
