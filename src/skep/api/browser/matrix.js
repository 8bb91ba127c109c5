// How hosts reach each other: delay, loss and MTU of each pair, as the peer mesh measures them.

import { ask } from "./cluster.js";
import { el } from "./dom.js";

const EVERY = 2000;

/** The table, in `stage` while it is shown. */
export class Paths {
  constructor(stage, chosen) {
    this.stage = stage;
    this.chosen = chosen;
    this.timer = 0;
    this.shown = false;
    this.node = el("div", { class: "paths" });
  }

  show() {
    if (this.shown) return;
    this.shown = true;
    this.stage.append(this.node);
    this.look();
  }

  hide() {
    this.shown = false;
    clearTimeout(this.timer);
    this.node.remove();
  }

  async look() {
    try {
      this.draw(await ask("/skep/matrix"));
    } catch (error) {
      this.node.replaceChildren(el("p", { class: "hint" }, error.message));
    }
    if (this.shown) this.timer = setTimeout(() => this.look(), EVERY);
  }

  draw(matrix) {
    const hosts = Object.entries(matrix.hosts ?? {});
    const paths = new Map((matrix.paths ?? []).map((path) => [`${path.source}>${path.target}`, path]));
    const head = el("tr", {}, el("th", { scope: "col" }, el("small", {}, "from \\ to")),
      ...hosts.map(([, name]) => el("th", { scope: "col" }, name)));
    const rows = hosts.map(([id, name]) => el("tr", {}, el("th", { scope: "row" }, name),
      ...hosts.map(([other]) => this.cell(id, other, paths.get(`${id}>${other}`)))));
    const held = this.node.contains(document.activeElement) ? document.activeElement.dataset.pair : "";
    const table = el("table", {}, el("caption", {}, "Host to host: delay there and back, loss, largest packet"),
      el("thead", {}, head), el("tbody", {}, ...rows));
    this.node.replaceChildren(el("div", { class: "scroll" }, table), el("p", { class: "hint" },
      "Measured by the hosts themselves over the underlay, port 7946. Choose a pair to trace it."));
    if (held) this.node.querySelector(`[data-pair="${CSS.escape(held)}"]`)?.focus();
  }

  cell(from, to, path) {
    if (from === to) return el("td", { class: "self" });
    if (!path) return el("td", { class: "state-unknown" }, "not heard of");
    const delay = path.delay ? `${path.delay < 10 ? path.delay.toFixed(2) : Math.round(path.delay)} ms` : "–";
    const loss = path.loss ? `${(path.loss * 100).toFixed(path.loss < 0.1 ? 1 : 0)} % lost` : "none lost";
    const mtu = path.mtu ? (path.large_loss >= 0.99 ? `not ${path.mtu} B` : `${path.mtu} B`) : "";
    return el("td", { class: `state-${path.state ?? "ok"} ${grade(path.delay ?? 0)}`, title: path.note || "" },
      el("button", { class: "cell", "data-pair": `${from}>${to}`, onclick: () => this.chosen(from, to) },
        el("b", {}, delay), el("small", {}, loss), mtu ? el("small", {}, mtu) : null));
  }
}

function grade(delay) {
  if (!delay) return "";
  if (delay < 1) return "fast";
  return delay < 20 ? "fair" : "slow";
}
