// The graph as cards: a frame with chips (containers) and bars (what they are plugged into), joined
// by wires. Each view makes other cards of the same things.

const NETWORKS = 10; // Colours in picture.css.
const colours = new Map();

/** The colour class of a network or a bridge; a network keeps it for as long as the page is open. */
export function colour(graph, id) {
  if (!id || id.startsWith("bridge:") || id.startsWith("lan:")) return "net-bridge";
  if (graph.thing(id)?.facts?.["routing mesh"]) return "net-mesh";
  if (id.startsWith("rest:")) return "net-rest";
  if (!colours.has(id)) colours.set(id, colours.size % NETWORKS);
  return `net-${colours.get(id)}`;
}

/** The cards of a view, and the lines between them. */
export function cards(graph, view, fits) {
  const make = { hosts, services, networks }[view];
  return { view, ...make(graph, fits) };
}

function byName(one, other) {
  return one.name.localeCompare(other.name, "en", { numeric: true });
}

const CHIPS = ["box", "group", "mesh"];

function isChip(thing) {
  return CHIPS.includes(thing.kind) || (thing.kind === "rest" && thing.facts?.of === "box");
}

function isBar(thing) {
  return ["overlay", "bridge", "lan"].includes(thing.kind)
    || (thing.kind === "rest" && thing.facts?.of === "overlay");
}

function chip(graph, thing, sub) {
  return {
    id: thing.id, thing, kind: thing.kind, label: thing.name, sub, state: graph.stateOf(thing),
    count: thing.kind === "group" || thing.kind === "rest" ? thing.count : 0,
  };
}

// Boxes by service and name, groups among them, meshes and rests last.
function chipOrder(one, other) {
  const rank = (thing) => (thing.kind === "rest" ? 2 : thing.kind === "mesh" ? 1 : 0);
  return rank(one) - rank(other) || byName(one, other);
}

function plugsBySource(graph) {
  const found = new Map();
  for (const line of graph.lines.values()) {
    if (line.kind !== "plug") continue;
    if (!found.has(line.source)) found.set(line.source, []);
    found.get(line.source).push(line);
  }
  return found;
}

function wire(graph, line, bar = line.target) {
  return {
    id: line.id, chip: line.source, bar, colour: colour(graph, line.network || line.target),
    state: line.state ?? "ok",
  };
}

// --- by host

function hosts(graph, fits) {
  const children = new Map();
  for (const thing of graph.things.values()) {
    if (!thing.parent) continue;
    if (!children.has(thing.parent)) children.set(thing.parent, []);
    children.get(thing.parent).push(thing);
  }
  const plugs = plugsBySource(graph);
  const made = graph.of("host").sort(byName).map((host) => {
    const inside = children.get(host.id) ?? [];
    const chips = inside.filter(isChip).filter(fits).sort(chipOrder);
    return {
      id: host.id, thing: host, title: host.name, sub: hostSub(host), state: graph.stateOf(host),
      chips: chips.map((thing) => chip(graph, thing, ownAddress(graph, thing))),
      bars: inside.filter(isBar).sort(barOrder(graph)).map((thing) => hostBar(graph, thing)),
      wires: chips.flatMap((each) => plugs.get(each.id) ?? []).map((each) => wire(graph, each)),
      plate: host.parts?.[0] ? { id: host.id, label: plateLabel(host) } : null,
      total: host.count ?? 0,
    };
  });
  const joins = [...graph.lines.values()].filter((line) => line.kind === "tunnel");
  return { cards: made, joins };
}

// Of several addresses the one that its user means: not the mesh's (unless it is the mesh), not
// that of the way out.
function ownAddress(graph, thing) {
  const mesh = new Set(graph.of("network").filter((each) => each.facts?.["routing mesh"])
    .map((each) => each.name));
  const parts = thing.parts ?? [];
  const part = parts.find((each) => thing.kind === "mesh" || !mesh.has(each.network)) ?? parts[0];
  return part?.address?.split("/")[0] ?? "";
}

function hostSub(host) {
  const role = host.facts?.role ?? "";
  const drained = host.facts?.availability;
  return [role, drained && drained !== "active" ? drained : ""].filter(Boolean).join(" · ");
}

function plateLabel(host) {
  const part = host.parts[0];
  return `${part.name} · ${host.facts?.["tunnels' address"] ?? ""}`;
}

function barOrder(graph) {
  const rank = (thing) => {
    if (thing.kind === "bridge") return thing.name === "docker_gwbridge" ? 3 : 4;
    if (thing.kind === "lan") return 5;
    if (thing.kind === "rest") return 2;
    return graph.thing(thing.networks?.[0])?.facts?.["routing mesh"] ? 1 : 0;
  };
  return (one, other) => rank(one) - rank(other) || byName(one, other);
}

function hostBar(graph, thing) {
  const tunnel = (thing.parts ?? []).find((part) => part.kind === "vxlan");
  const bridge = (thing.parts ?? []).find((part) => part.kind === "bridge");
  const overlay = thing.kind === "overlay";
  return {
    id: thing.id, thing, label: thing.name,
    inner: overlay ? (bridge ? bridge.name : "") : (bridge?.address ?? thing.facts?.by ?? ""),
    exit: overlay ? (tunnel ? `${tunnel.name} ${tunnel.vni}` : "no vxlan") : "",
    exitLine: `vxlan:${thing.id}`,
    colour: colour(graph, thing.networks?.[0] ?? thing.id),
    state: graph.stateOf(thing),
  };
}

// --- by network

function networks(graph, fits) {
  const plugs = [...graph.lines.values()].filter((line) => line.kind === "plug" && line.network);
  const made = graph.of("network").sort(byName).map((network) => {
    const own = plugs.filter((line) => line.network === network.id);
    const bars = graph.of("overlay")
      .filter((thing) => thing.networks?.includes(network.id))
      .sort((one, other) => graph.name(one.parent).localeCompare(graph.name(other.parent)));
    const order = new Map(bars.map((thing, place) => [thing.id, place]));
    const ends = new Map(own.map((line) => [line.source, line]));
    const chips = [...ends.keys()].map((id) => graph.thing(id)).filter(Boolean).filter(fits);
    chips.sort((one, other) => (order.get(ends.get(one.id).target) ?? 0)
      - (order.get(ends.get(other.id).target) ?? 0) || chipOrder(one, other));
    const shown = new Set(chips.map((each) => each.id));
    return {
      id: network.id, thing: network, title: network.name, state: graph.stateOf(network),
      sub: [network.facts?.subnets, network.facts?.VNI && `VNI ${network.facts.VNI}`,
        network.facts?.encrypted && "encrypted"].filter(Boolean).join(" · "),
      colour: colour(graph, network.id),
      chips: chips.map((thing) => chip(graph, thing, addressOn(thing, network))),
      bars: bars.map((thing) => ({
        ...hostBar(graph, thing), label: graph.name(thing.parent),
        inner: `br0 in ${thing.namespace}`,
      })),
      wires: own.filter((line) => shown.has(line.source)).map((line) => wire(graph, line)),
      plate: null,
      total: own.length,
    };
  });
  return { cards: made, joins: [] };
}

function addressOn(thing, network) {
  const part = (thing.parts ?? []).find((each) => each.network === network.name);
  return part?.address?.split("/")[0] ?? "";
}

// --- by service

function services(graph, fits) {
  const chips = [...graph.things.values()].filter((each) => isChip(each) && each.kind !== "mesh");
  const made = graph.of("service").sort(byName).map((service) => {
    const own = chips.filter((each) => each.service === service.id);
    const vips = [...graph.lines.values()]
      .filter((line) => line.kind === "vip" && line.source === service.id);
    const balanced = new Map(vips.map((line) => [line.target, line]));
    const others = (service.networks ?? []).filter((id) => !balanced.has(id) && graph.thing(id));
    const shown = own.filter(fits).sort(chipOrder);
    return {
      id: service.id, thing: service, title: service.name, state: graph.stateOf(service),
      sub: [service.facts?.running && `${service.facts.running} run`, service.facts?.ports]
        .filter(Boolean).join(" · "),
      chips: shown.map((thing) => chip(graph, thing, graph.name(thing.parent))),
      bars: [
        ...vips.map((line) => vipBar(graph, line.target, line.note ?? "", line.id)),
        ...others.map((id) => vipBar(graph, id, "", id)),
      ],
      wires: shown.flatMap((thing) => (thing.networks ?? []).map((id) => ({
        id: `${thing.id}>${id}`, chip: thing.id, bar: balanced.get(id)?.id ?? id,
        colour: colour(graph, id), state: "ok", line: plugOn(graph, thing, id),
      }))),
      plate: null,
      total: service.count ?? own.length,
    };
  });
  const loose = chips.filter((each) => !each.service && each.kind !== "rest");
  const without = loose.filter(fits).sort(chipOrder);
  if (loose.length) {
    made.push({
      id: "loose", thing: null, title: "no service", sub: "started by hand", state: "ok",
      chips: without.map((thing) => chip(graph, thing, graph.name(thing.parent))),
      bars: [], wires: [], plate: null, total: loose.length,
    });
  }
  return { cards: made, joins: [] };
}

function vipBar(graph, network, address, id) {
  const thing = graph.thing(network);
  return {
    id, thing, label: thing?.name ?? network, inner: address ? `VIP ${address}` : "by name alone",
    exit: "", colour: colour(graph, network), state: "ok",
  };
}

function plugOn(graph, thing, network) {
  for (const line of graph.lines.values()) {
    if (line.kind === "plug" && line.source === thing.id && line.network === network) {
      return line.id;
    }
  }
  return "";
}
