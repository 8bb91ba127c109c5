// What there is to say of one thing: state, facts, interfaces and what they carry, logs, relations.

import { ask } from "./cluster.js";
import { el, rate, size } from "./dom.js";

const EVERY = 2000;
const KINDS = {
  host: "host", bridge: "bridge of the host", overlay: "network on this host", mesh: "routing mesh",
  lan: "network without a bridge",
  box: "container", service: "service", network: "network", group: "group", rest: "more",
};

/** The panel. `acts` are what its buttons do: choose, trace, only, expand, close. */
export class Panel {
  constructor(node, graph, acts) {
    this.node = node;
    this.graph = graph;
    this.acts = acts;
    this.id = "";
    this.detail = null;
    this.log = null;
    this.timer = 0;
  }

  /** Show a thing, or (null) a trace's `parts`, or nothing. */
  show(id, parts = null) {
    const another = id !== this.id;
    this.id = id;
    if (another) {
      this.detail = null;
      this.log = null;
    }
    clearTimeout(this.timer);
    this.node.hidden = !id && !parts;
    document.body.classList.toggle("with-panel", !this.node.hidden);
    if (parts) {
      this.fill([this.closing(), ...parts]);
    } else if (id) {
      this.render();
      if (another) this.node.scrollTop = 0;
      this.look();
    } else {
      this.node.replaceChildren();
    }
  }

  closing() {
    return el("button", { class: "quiet close", "aria-label": "Close", onclick: this.acts.close }, "×");
  }

  // Anew, with the focus and what was unfolded where they were.
  fill(parts) {
    const open = new Set([...this.node.querySelectorAll("details[open] > summary")].map((each) => each.textContent));
    const held = document.activeElement;
    const name = this.node.contains(held) ? held.getAttribute("name") ?? held.textContent : "";
    this.node.replaceChildren(...parts);
    for (const summary of this.node.querySelectorAll("details > summary")) {
      if (open.has(summary.textContent)) summary.parentElement.open = true;
    }
    if (name) {
      const again = [...this.node.querySelectorAll("button, input, summary")]
        .find((each) => (each.getAttribute("name") ?? each.textContent) === name);
      again?.focus({ preventScroll: true });
    }
  }

  async look() {
    const { id } = this;
    const thing = this.graph.thing(id);
    if (thing && thing.kind !== "group" && thing.kind !== "rest") {
      try {
        const detail = await ask(`/skep/topology/thing?id=${encodeURIComponent(id)}`);
        if (id !== this.id) return;
        this.detail = detail;
        this.render();
      } catch {
        // Gone meanwhile: the picture says so.
      }
    }
    if (id === this.id && id) this.timer = setTimeout(() => this.look(), EVERY);
  }

  async read() {
    const { id } = this;
    this.log = { text: "…", why: "" };
    this.render();
    try {
      this.log = await ask(`/skep/page/logs?task=${encodeURIComponent(this.task())}`);
    } catch (error) {
      this.log = { text: "", why: error.message };
    }
    if (id === this.id) this.render();
  }

  task() {
    return (this.detail?.thing ?? this.graph.thing(this.id))?.facts?.task ?? "";
  }

  render() {
    const thing = this.graph.thing(this.id) ?? this.detail?.thing;
    if (!thing) {
      this.fill([this.closing(), el("p", { class: "hint" }, "It is gone.")]);
      return;
    }
    const known = this.detail?.thing ?? thing;
    const state = thing.state ?? "ok";
    this.fill([
      this.closing(),
      el("p", { class: "kind" }, KINDS[thing.kind] ?? thing.kind,
        thing.parent ? ` · ${this.graph.name(thing.parent)}` : ""),
      el("h2", {}, el("i", { class: `dot state-${state}` }), thing.name),
      thing.note ? el("p", { class: `note state-${state}` }, thing.note) : null,
      this.actions(thing),
      this.facts(known),
      this.interfaces(known),
      this.related(thing),
      this.logs(),
    ].filter(Boolean));
  }

  actions(thing) {
    const { acts } = this;
    const buttons = [];
    if (thing.asked) {
      buttons.push(el("button", { onclick: () => acts.trace(thing.asked, "") }, "Trace from here"));
      buttons.push(el("button", { onclick: () => acts.trace("", thing.asked) }, "Trace to here"));
    }
    if (thing.kind === "group" || thing.kind === "rest") {
      buttons.push(el("button", { onclick: () => acts.expand(thing.id) }, "Show them one by one"));
    }
    const key = { network: "net", overlay: "net", service: "service", host: "host" }[thing.kind];
    if (key) {
      const name = thing.kind === "overlay" ? this.graph.name(thing.networks?.[0]) : thing.name;
      buttons.push(el("button", { onclick: () => acts.only(key, name) }, "Show only these"));
    }
    return buttons.length ? el("div", { class: "actions" }, ...buttons) : null;
  }

  facts(thing) {
    const rows = Object.entries(thing.facts ?? {}).filter(([key]) => key !== "of");
    if (thing.namespace) rows.push(["namespace", thing.namespace]);
    if (!rows.length) return null;
    return el("dl", { class: "facts" }, ...rows.map(([key, value]) =>
      el("div", {}, el("dt", {}, key), el("dd", {}, value))));
  }

  interfaces(thing) {
    const parts = thing.parts ?? [];
    if (!parts.length) return null;
    const gauges = this.detail?.gauges ?? {};
    return el("section", {}, el("h3", {}, "Interfaces"), ...parts.map((part) => {
      const gauge = gauges[part.name];
      const [into, out] = this.rateOf(thing, part);
      const rows = [
        ["address", [part.address, part.address6].filter(Boolean).join(", ")],
        ["network", part.network], ["VNI", part.vni], ["MAC", part.mac], ["MTU", part.mtu],
        ["index", part.index && part.peer ? `${part.index}, peer ${part.peer}` : part.index],
        ["in", gauge && `${size(gauge.rx_bytes ?? 0)}, ${gauge.rx_packets ?? 0} packets${into ? `, now ${rate(into)}` : ""}`],
        ["out", gauge && `${size(gauge.tx_bytes ?? 0)}, ${gauge.tx_packets ?? 0} packets${out ? `, now ${rate(out)}` : ""}`],
        ["dropped", gauge?.dropped], ["errors", gauge?.errors],
      ].filter(([, value]) => value);
      const name = [part.name || "not there yet", part.up ? "" : part.name && "down"].filter(Boolean).join(" · ");
      return el("details", { open: parts.length <= 4, class: "interface" },
        el("summary", {}, name),
        el("dl", { class: "facts" }, ...rows.map(([key, value]) =>
          el("div", {}, el("dt", {}, key), el("dd", {}, String(value))))));
    }));
  }

  rateOf(thing, part) {
    const ids = [`plug:${thing.id}/${part.name}`, `vxlan:${thing.id}`, thing.id];
    const use = part.kind === "vxlan" ? ids[1] : thing.kind === "host" ? ids[2] : ids[0];
    return this.graph.rates.get(use) ?? this.detail?.rates?.[use] ?? [0, 0];
  }

  related(thing) {
    const ids = new Set([thing.parent, thing.service, ...(thing.networks ?? [])]);
    for (const line of this.graph.lines.values()) {
      if (line.source === thing.id) ids.add(line.target);
      if (line.target === thing.id) ids.add(line.source);
    }
    for (const other of this.graph.things.values()) {
      if (other.service === thing.id) ids.add(other.id);
      if (thing.kind === "host" && other.parent === thing.id) ids.add(other.id);
      if (thing.kind === "network" && other.networks?.includes(thing.id)) ids.add(other.id);
    }
    ids.delete(thing.id);
    const found = [...ids].map((id) => this.graph.thing(id)).filter(Boolean).slice(0, 60);
    if (!found.length) return null;
    return el("section", {}, el("h3", {}, "Related"), el("ul", { class: "related" }, ...found.map((other) =>
      el("li", {}, el("button", { class: "link", onclick: () => this.acts.choose(other.id) },
        el("i", { class: `dot state-${other.state ?? "ok"}` }), other.name,
        el("small", {}, ` ${KINDS[other.kind]}${other.parent && other.parent !== thing.id ? ` · ${this.graph.name(other.parent)}` : ""}`))))));
  }

  logs() {
    if (!this.task()) return null;
    const open = this.log !== null;
    return el("section", { class: "log" }, el("h3", {}, "Log"),
      el("button", { onclick: () => this.read() }, open ? "Read again" : "Last lines"),
      open && this.log.why ? el("p", { class: "note state-broken" }, this.log.why) : null,
      open ? el("pre", { tabindex: 0 }, this.log.text || "nothing was written") : null);
  }
}
