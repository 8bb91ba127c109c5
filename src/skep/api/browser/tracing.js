// Tracing between two things: asks the manager, and finds what of the picture the packet passes.

import { ask } from "./cluster.js";
import { el, say } from "./dom.js";

const SIGNS = { ok: "✓", broken: "✗", doubtful: "!", unknown: "?" };

/** One trace: from and to are what `skep trace` calls things. */
export class Tracing {
  constructor(graph, changed) {
    this.graph = graph;
    this.changed = changed;
    this.armed = false;
    this.from = "";
    this.to = "";
    this.found = null;
    this.error = "";
    this.busy = false;
  }

  get active() {
    return this.armed || Boolean(this.from || this.to);
  }

  arm() {
    this.clear();
    this.armed = true;
    say("Choose where from, then where to.");
    this.changed();
  }

  clear() {
    Object.assign(this, { armed: false, from: "", to: "", found: null, error: "", busy: false });
    this.changed();
  }

  /** One end more. Answers whether both are there now. */
  take(asked) {
    if (!asked) return false;
    if (!this.from) this.from = asked;
    else this.to = asked;
    this.armed = !this.to;
    if (this.to) this.run();
    else this.changed();
    return Boolean(this.to);
  }

  set(from, to) {
    this.from = from;
    this.to = to;
    this.armed = !(from && to);
    if (from && to) this.run();
    else this.changed();
  }

  async run() {
    const [from, to] = [this.from, this.to];
    Object.assign(this, { busy: true, found: null, error: "" });
    this.changed();
    try {
      const query = new URLSearchParams({ from, to });
      const found = await ask(`/skep/trace?${query}`);
      if (from !== this.from || to !== this.to) return;
      this.found = found;
      say(found.summary);
    } catch (error) {
      if (from === this.from && to === this.to) this.error = error.message;
    }
    this.busy = false;
    this.changed();
  }

  /** The things, lines and plates that light up, the ends, and where it is lost. */
  lit() {
    if (!this.active) return null;
    const lit = { things: new Map(), lines: new Set(), plates: new Set(), ends: [], drop: null };
    for (const asked of [this.from, this.to]) {
      const end = this.named(asked);
      if (end) {
        lit.ends.push(end.id);
        lit.things.set(end.id, "ok");
      }
    }
    if (!this.found) return lit;
    const hops = [...(this.found.there ?? []), ...(this.found.back ?? [])];
    const places = this.places();
    let before = null;
    let host = "";
    for (const hop of hops) {
      const thing = this.thingOf(hop, places);
      if (host && hop.host !== host) this.cross(lit, host, hop.host);
      host = hop.host;
      if (!thing) continue;
      if (lit.things.get(thing.id) !== "broken") lit.things.set(thing.id, hop.state);
      if (thing.kind === "host") lit.plates.add(thing.id);
      if (before && before.id !== thing.id) this.join(lit, before, thing);
      if (hop.state === "broken" && !lit.drop) {
        lit.drop = { id: thing.id, words: this.found.trouble?.why ?? hop.says };
      }
      before = thing;
    }
    return lit;
  }

  /** The names of things by which `show` keeps them out of groups. */
  shown() {
    const hops = [...(this.found?.there ?? []), ...(this.found?.back ?? [])];
    const names = hops.filter((hop) => hop.namespace).map((hop) => `${hop.host}/${hop.namespace}`);
    return [...new Set([this.from, this.to, ...names])].filter((each) => each.includes("/"));
  }

  named(asked) {
    if (!asked) return null;
    const wanted = asked.replace(/\/(tcp|udp|sctp|icmp)(:\d+)?$/, "");
    for (const thing of this.graph.things.values()) {
      if (thing.asked === wanted || (thing.kind === "box" && thing.name === wanted)) return thing;
    }
    return null;
  }

  places() {
    const found = new Map();
    const hostName = (thing) => (thing.kind === "host" ? thing.name : this.graph.name(thing.parent));
    for (const thing of this.graph.things.values()) {
      if (thing.namespace) found.set(`${hostName(thing)}/${thing.namespace}`, thing);
      else if (thing.kind === "host") found.set(thing.name, thing);
      else if (thing.kind === "bridge") found.set(`${hostName(thing)}//${thing.name}`, thing);
    }
    return found;
  }

  thingOf(hop, places) {
    if (hop.namespace) return places.get(`${hop.host}/${hop.namespace}`);
    const bridge = [hop.link, hop.facts?.bridge, hop.facts?.link]
      .map((name) => places.get(`${hop.host}//${name}`)).find(Boolean);
    return bridge ?? places.get(hop.host);
  }

  join(lit, one, other) {
    for (const line of this.graph.lines.values()) {
      const ends = [line.source, line.target];
      if (ends.includes(one.id) && ends.includes(other.id)) {
        lit.lines.add(line.id);
        return;
      }
    }
    // From a box into the host's own namespace goes over its bridge.
    const [box, host] = one.kind === "host" ? [other, one] : [one, other];
    if (host.kind !== "host") return;
    for (const line of this.graph.lines.values()) {
      if (line.source === box.id && line.target.startsWith("bridge:")) {
        lit.lines.add(line.id);
        lit.things.set(line.target, lit.things.get(line.target) ?? "ok");
        return;
      }
    }
  }

  cross(lit, one, other) {
    const id = (name) => this.graph.of("host").find((host) => host.name === name)?.id;
    const pair = [id(one), id(other)];
    for (const line of this.graph.lines.values()) {
      if (line.kind === "tunnel" && pair.includes(line.source) && pair.includes(line.target)) {
        lit.lines.add(line.id);
      }
    }
  }

  // --- shown in the panel

  /** The trace as elements. */
  view() {
    const words = (asked) => this.words(asked);
    const parts = [el("h2", {}, "Trace"), this.form()];
    if (this.armed) {
      parts.push(el("p", { class: "hint" }, this.from
        ? "Now choose where to: click it, or write its name."
        : "Choose where from: click it, or write its name."));
    }
    if (this.busy) parts.push(el("p", { class: "hint busy" }, `From ${words(this.from)} to ${words(this.to)} …`));
    if (this.error) parts.push(el("p", { class: "verdict broken" }, this.error));
    if (this.found) parts.push(...this.result());
    return parts;
  }

  words(asked) {
    const thing = this.named(asked);
    return thing && thing.kind === "box" ? `${thing.name} on ${this.graph.name(thing.parent)}` : asked;
  }

  form() {
    // A container goes by its name, and is asked for by its host and id.
    const shown = (asked) => {
      const thing = this.named(asked);
      return thing?.kind === "box" && thing.asked === asked ? thing.name : asked;
    };
    const meant = (input, asked) => (input.value === shown(asked) ? asked : input.value.trim());
    const from = el("input", { name: "from", value: shown(this.from), list: "names", autocomplete: "off", "aria-label": "From", placeholder: "from" });
    const to = el("input", { name: "to", value: shown(this.to), list: "names", autocomplete: "off", "aria-label": "To", placeholder: "to, as in web/tcp:80" });
    const names = new Set([...this.graph.things.values()].filter((each) => each.asked)
      .map((each) => (each.kind === "box" ? each.name : each.asked)));
    const submit = (event) => {
      event.preventDefault();
      this.set(meant(from, this.from), meant(to, this.to));
    };
    return el("form", { class: "ends", onsubmit: submit }, from, el("span", { "aria-hidden": true }, "→"), to,
      el("button", {}, "Go"),
      el("datalist", { id: "names" }, ...[...names].slice(0, 300).map((name) => el("option", { value: name }))));
  }

  result() {
    const { found } = this;
    const { trouble } = found;
    const parts = [el("p", { class: `verdict ${trouble ? trouble.state ?? "broken" : "ok"}` },
      `${trouble ? SIGNS[trouble.state] ?? "✗" : "✓"} ${found.summary}`)];
    if (trouble) parts.push(troubleList(trouble));
    for (const warning of found.warnings ?? []) parts.push(troubleList(warning));
    parts.push(hopList("The way", found.there ?? []));
    if (found.back?.length) parts.push(hopList("and back", found.back));
    if (found.notes?.length) {
      parts.push(el("h3", {}, "Not as planned beside this way"),
        el("ul", {}, ...found.notes.map((note) => el("li", {}, note))));
    }
    return parts;
  }
}

function troubleList(trouble) {
  const rows = [["where", trouble.where], ["why", trouble.why], ["should be", trouble.should],
    ["to do", trouble.todo]];
  return el("dl", { class: `trouble state-${trouble.state ?? "broken"}` }, ...rows.filter(([, text]) => text)
    .map(([word, text]) => el("div", {}, el("dt", {}, word), el("dd", {}, text))));
}

function hopList(title, hops) {
  const list = el("ol", { class: "hops" });
  let before = "";
  for (const hop of hops) {
    const where = `${hop.host} · ${hop.owner}`;
    if (where !== before) list.append(el("li", { class: "where" }, where));
    before = where;
    list.append(el("li", { class: `hop ${hop.state}` },
      el("details", {},
        el("summary", {}, el("b", {}, SIGNS[hop.state] ?? ""), el("i", {}, hop.kind), el("span", {}, hop.says)),
        el("ul", {}, ...(hop.details ?? []).map((detail) => el("li", {}, detail))))));
  }
  return el("section", {}, el("h3", {}, title), list);
}
