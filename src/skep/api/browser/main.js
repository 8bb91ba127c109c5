// The page: joins the stream, the picture, the panel, the keys and the address.

import { cards, colour } from "./cards.js";
import { Graph, Stream } from "./cluster.js";
import { $, el, say } from "./dom.js";
import { Picture } from "./draw.js";
import { fits, toggled } from "./finding.js";
import { listen } from "./keys.js";
import { Paths } from "./matrix.js";
import { Panel } from "./panel.js";
import * as address from "./place.js";
import { Tracing } from "./tracing.js";

const TYPING = 150;
const STATES = ["broken", "changing"];

class Page {
  constructor() {
    this.place = address.read();
    this.graph = new Graph();
    this.picture = new Picture($("#stage"), (id) => this.clicked(id));
    this.paths = new Paths($("#stage"), (from, to) => this.pair(from, to));
    this.tracing = new Tracing(this.graph, () => this.traced());
    this.panel = new Panel($("#panel"), this.graph, {
      choose: (id) => this.choose(id),
      trace: (from, to) => this.traceWith(from, to),
      only: (key, name) => this.filter(key, name),
      expand: (id) => this.expand(id),
      close: () => this.letGo(),
    });
    this.stream = new Stream(this.graph, (more) => this.told(more), (...state) => this.live(...state));
    this.frame = 0;
  }

  start() {
    listen(this);
    $("#find").value = this.place.find;
    $("#find").addEventListener("input", () => this.typed());
    $("#views").addEventListener("click", (event) => {
      const { view } = event.target.dataset;
      if (view) this.go(view);
    });
    $("#tracing").addEventListener("click", () => this.trace());
    $("#zoom").addEventListener("click", (event) => this.zoom(event.target.dataset.zoom));
    window.addEventListener("popstate", () => this.moved());
    window.addEventListener("hashchange", () => this.moved());
    new ResizeObserver(() => this.redraw()).observe($("#stage"));
    const { from, to } = this.place;
    if (from || to) this.tracing.set(from, to);
    this.view();
    this.follow();
  }

  // --- the stream

  follow() {
    const query = new URLSearchParams();
    for (const id of this.place.expand) query.append("expand", id);
    if (this.graph.folded && this.place.find) query.set("find", this.place.find);
    const shown = this.graph.folded ? this.tracing.shown() : [];
    for (const name of shown.slice(0, 40)) query.append("show", name);
    this.stream.open(query);
  }

  live(state, words) {
    const node = $("#live");
    node.className = state;
    node.lastElementChild.textContent = state === "live" ? "live" : "not live";
    node.title = words;
    const notice = $("#notice");
    notice.hidden = state === "live";
    notice.textContent = state === "live" ? "" : `Not live: ${words}.`.replace("..", ".");
  }

  told(more) {
    if (more) {
      this.redraw();
      if (this.panel.id && !this.tracing.active) this.panel.render();
    } else if (this.place.view !== "matrix") {
      this.picture.flows(this.graph);
    }
    if (this.graph.folded) this.follow();
  }

  // --- drawing

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.filters();
    if (this.place.view === "matrix" || !this.graph.known) return;
    const { find } = this.place;
    const wanted = (thing) => !find.trim() || fits(this.graph, thing, find)
      || (thing.kind === "group" && this.graph.folded && fits(this.graph, thing, find));
    const drawing = cards(this.graph, this.place.view, wanted);
    if (find.trim()) drawing.cards = drawing.cards.filter((card) => this.keeps(card, wanted));
    this.picture.draw(drawing);
    this.picture.flows(this.graph);
    this.mark();
    const empty = !drawing.cards.length;
    $("#stage").classList.toggle("empty", empty);
    $("#stage").dataset.words = this.graph.things.size
      ? (empty ? (find ? `Nothing fits “${find}”.` : "There is none yet.") : "") : "";
    document.title = this.title();
  }

  keeps(card, wanted) {
    return card.chips.length > 0 || (card.thing && wanted(card.thing));
  }

  title() {
    const broken = [...this.graph.things.values()].filter((each) => each.state === "broken").length;
    return broken ? `(${broken}) Skep` : "Skep";
  }

  mark() {
    const tracing = this.tracing.active;
    this.picture.mark(tracing ? "" : this.place.chosen, this.tracing.lit());
  }

  filters() {
    const { find } = this.place;
    const words = find.split(/\s+/);
    const pill = (key, value, classes, count) => el("button", {
      class: `pill ${classes}`, "aria-pressed": String(words.includes(`${key}:${value}`)),
      onclick: () => this.filter(key, value),
    }, el("i", { "aria-hidden": true }), value, count ? el("small", {}, count) : null);
    const all = [...this.graph.things.values()];
    const networks = this.graph.of("network").sort((one, other) => one.name.localeCompare(other.name));
    const states = STATES.map((state) => [state, all.filter((each) => each.state === state).length])
      .filter(([state, count]) => count || words.includes(`state:${state}`));
    const pills = [
      ...networks.slice(0, 24).filter((each) => !/\s/.test(each.name))
        .map((each) => pill("net", each.name, colour(this.graph, each.id))),
      ...states.map(([state, count]) => pill("state", state, `state-${state}`, count)),
    ];
    const expanded = this.place.expand.length ? [el("button", {
      class: "pill", onclick: () => this.fold(),
    }, "fold again")] : [];
    const held = document.activeElement?.textContent;
    const within = $("#filters").contains(document.activeElement);
    $("#filters").replaceChildren(...pills, ...expanded);
    if (within) [...$("#filters").children].find((each) => each.textContent === held)?.focus();
  }

  // --- what users do

  go(view) {
    this.place.view = view;
    address.write(this.place, true);
    this.view();
  }

  view() {
    const { view } = this.place;
    for (const tab of $("#views").children) {
      const own = tab.dataset.view === view;
      tab.setAttribute("aria-selected", String(own));
      tab.tabIndex = own ? 0 : -1;
    }
    const matrix = view === "matrix";
    this.picture.root.classList.toggle("away", matrix);
    $("#zoom").hidden = matrix;
    if (matrix) this.paths.show();
    else this.paths.hide();
    this.panels();
    this.redraw();
  }

  moved() {
    const before = this.place;
    this.place = address.read();
    $("#find").value = this.place.find;
    if (before.from !== this.place.from || before.to !== this.place.to) {
      if (this.place.from || this.place.to) this.tracing.set(this.place.from, this.place.to);
      else this.tracing.clear();
    }
    this.view();
    this.follow();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.place.find = $("#find").value;
      this.kept();
      this.follow();
    }, TYPING);
  }

  filter(key, name) {
    const value = /\s/.test(name) ? name.split(/\s/)[0] : name;
    $("#find").value = toggled($("#find").value, key, value);
    this.place.find = $("#find").value;
    this.kept();
    this.follow();
  }

  expand(id) {
    this.place.expand = [...new Set([...this.place.expand, id])];
    this.choose("");
    this.follow();
  }

  fold() {
    this.place.expand = [];
    this.kept();
    this.follow();
  }

  clicked(id) {
    const thing = this.graph.thing(id);
    if (this.tracing.armed && thing) {
      if (!thing.asked) say(`nothing can be traced to ${thing.name}`);
      else this.tracing.take(thing.asked);
    } else {
      this.choose(id === this.place.chosen ? "" : id);
    }
  }

  choose(id) {
    if (this.tracing.active) this.tracing.clear();
    this.place.chosen = id;
    this.kept();
    this.panels();
    this.mark();
  }

  panels() {
    if (this.tracing.active) this.panel.show("", this.tracing.view());
    else this.panel.show(this.place.chosen);
  }

  trace() {
    if (this.tracing.active) {
      this.tracing.clear();
      return;
    }
    const chosen = this.graph.thing(this.place.chosen)?.asked;
    this.place.chosen = "";
    this.tracing.arm();
    if (chosen) this.tracing.take(chosen);
  }

  traceWith(from, to) {
    this.place.chosen = "";
    this.tracing.clear();
    this.tracing.set(from, to);
  }

  pair(from, to) {
    this.place.chosen = "";
    this.tracing.set(this.graph.name(from), this.graph.name(to));
  }

  traced() {
    Object.assign(this.place, { from: this.tracing.from, to: this.tracing.to });
    $("#tracing").setAttribute("aria-pressed", String(this.tracing.active));
    document.body.classList.toggle("choosing", this.tracing.armed);
    this.kept();
    this.panels();
    this.mark();
    if (this.graph.folded) this.follow();
  }

  letGo() {
    if (this.tracing.active) this.tracing.clear();
    else if (this.place.chosen) this.choose("");
    else if (this.place.find) {
      $("#find").value = "";
      this.place.find = "";
      this.kept();
      this.follow();
    }
  }

  kept() {
    address.write(this.place, false);
    this.redraw();
  }

  zoom(how) {
    const step = { in: 1.2, out: 1 / 1.2 }[how] ?? 1;
    this.picture.fits = how === "fit";
    this.picture.scale = Math.min(Math.max(this.picture.scale * step, 0.3), 3);
    this.redraw();
  }
}

function theme() {
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const set = (value) => { if (value) document.documentElement.dataset.theme = value; };
  set(kept());
  $("#theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme
      ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    set(next);
    try { localStorage.setItem("theme", next); } catch { /* It is for this time only, then. */ }
  });
}

theme();
new Page().start();
