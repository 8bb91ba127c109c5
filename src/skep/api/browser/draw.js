// The picture: cards as SVG. Drawn anew when the graph changes; rates and marks alter it in place.

import { cut, rate, svg } from "./dom.js";
import { BAR, exit, layout, spine, tunnel, way } from "./layout.js";

const MOVING = 200; // Lines that move at most.
const LETTER = 6.6;
const SCALES = [1.3, 1.2, 1.1, 1, 0.9, 0.8];

/** A picture in `stage`; `chosen` is called with an item's id and the event. */
export class Picture {
  constructor(stage, chosen) {
    this.stage = stage;
    this.root = svg("svg", { class: "picture", role: "group", "aria-label": "The cluster" });
    stage.append(this.root);
    this.scale = 1;
    this.fits = true;
    this.items = new Map();
    this.lines = new Map();
    this.known = new Set();
    this.view = "";
    this.size = { width: 0, height: 0 };
    this.focus = "";
    this.root.addEventListener("click", (event) => {
      const item = event.target.closest("[data-id]");
      chosen(item?.dataset.id ?? "", event);
    });
    this.root.addEventListener("focusin", (event) => {
      const item = event.target.closest("[data-id]");
      if (item) this.rove(item);
    });
  }

  /** Draw cards and what joins them. */
  draw(drawing) {
    // In another view nothing is new.
    if (drawing.view !== this.view) this.known.clear();
    this.view = drawing.view;
    if (this.fits) this.scale = this.fitting(drawing);
    const placed = layout(drawing, this.stage.clientWidth / this.scale);
    const held = document.activeElement?.closest?.("[data-item]")?.dataset.item ?? "";
    this.items.clear();
    this.lines.clear();
    const above = svg("g", { class: "joins" });
    const cards = svg("g");
    const byId = new Map(placed.cards.map((card) => [card.id, card]));
    for (const card of placed.cards) cards.append(this.card(card));
    const pairs = new Map();
    for (const join of drawing.joins) {
      const [one, other] = [byId.get(join.source), byId.get(join.target)];
      if (!one || !other) continue;
      const place = pairs.get(join.source) ?? 0;
      pairs.set(join.source, place + 1);
      above.append(this.join(join, tunnel(one, other, place)));
    }
    this.bubbles = svg("g", { class: "bubbles" });
    this.root.replaceChildren(above, cards, this.bubbles);
    this.size = placed;
    this.resize();
    this.known = new Set(this.items.keys());
    this.regain(held || this.focus);
  }

  // The largest scale at which everything can be seen at once, within reason.
  fitting(drawing) {
    const { clientWidth, clientHeight } = this.stage;
    if (clientWidth < 560) return 1;
    return SCALES.find((scale) => {
      const { width, height } = layout(drawing, clientWidth / scale);
      return height * scale <= clientHeight && width * scale <= clientWidth + 1;
    }) ?? SCALES[SCALES.length - 1];
  }

  resize() {
    const { width, height } = this.size;
    this.root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.root.setAttribute("width", width * this.scale);
    this.root.setAttribute("height", height * this.scale);
  }

  // --- making

  item(id, key, classes, label, ...children) {
    const node = svg("g", {
      class: `item ${classes}${this.known.size && !this.known.has(key) ? " new" : ""}`,
      "data-id": id, "data-item": key, tabindex: -1, role: "button", "aria-label": label,
    }, ...children);
    this.items.set(key, node);
    return node;
  }

  card(card) {
    const group = svg("g", {
      class: `card state-${card.state}`, transform: `translate(${card.x},${card.y})`,
    });
    group.append(
      svg("rect", { class: "frame", width: card.width, height: card.height, rx: 14 }),
      this.head(card),
    );
    const wires = svg("g", { class: "wires" });
    const chips = new Map(card.chips.map((chip) => [chip.id, chip]));
    const bars = new Map(card.bars.map((bar) => [bar.id, bar]));
    const counted = new Map();
    for (const wire of card.wires) {
      if (bars.has(wire.bar)) counted.set(wire.chip, (counted.get(wire.chip) ?? 0) + 1);
    }
    const places = new Map();
    // Later columns first, so that dots lie above lines that only pass.
    for (const wire of card.wires) {
      const [chip, bar] = [chips.get(wire.chip), bars.get(wire.bar)];
      if (!chip || !bar) continue;
      const place = places.get(wire.chip) ?? 0;
      places.set(wire.chip, place + 1);
      wires.append(this.wire(card, wire, way(card, chip, bar, place, counted.get(wire.chip))));
    }
    // Lines pass under the bars that they do not end at.
    const joints = svg("g", { class: "joints" }, ...[...wires.querySelectorAll(".joint")]);
    group.append(this.exits(card), wires, ...card.bars.map((bar) => this.bar(card, bar)), joints);
    group.append(...card.chips.map((chip) => this.chip(card, chip)));
    if (card.plate) group.append(this.plate(card));
    return group;
  }

  head(card) {
    const shown = card.chips.reduce((sum, chip) => sum + (chip.count || 1), 0);
    const count = card.total && shown < card.total ? `${shown} of ${card.total}` : "";
    const letters = Math.floor((card.width - 60) / 9);
    const words = [card.title, card.sub, card.thing?.note, card.state !== "ok" && card.state];
    const note = card.thing?.note ?? "";
    const sub = note && card.state !== "ok" ? note : card.sub;
    return this.item(card.id, `head:${card.id}`, `head ${card.colour ?? ""}`,
      words.filter(Boolean).join(", "),
      svg("rect", { class: "hit", width: card.width, height: 46, rx: 14 }),
      svg("circle", { class: `dot state-${card.state}`, cx: 22, cy: 21, r: 4.5 }),
      svg("text", { class: "title", x: 34, y: 26 }, cut(card.title, letters)),
      svg("text", { class: "sub", x: 34, y: 42 }, cut(sub, Math.floor((card.width - 50) / 6.1))),
      svg("text", { class: "count", x: card.width - 16, y: 26 }, count || this.counted(card)));
  }

  counted(card) {
    return card.total ? String(card.total) : "";
  }

  bar(card, bar) {
    const right = bar.x + bar.width;
    const label = [bar.label, bar.inner, bar.exit, bar.state !== "ok" && bar.thing?.note]
      .filter(Boolean).join(", ");
    const room = bar.width - 24 - (bar.exit ? 92 : 0);
    const name = cut(bar.label, Math.floor(room / 7.9));
    const left = room - name.length * 7.9 - 10;
    const node = this.item(bar.thing?.id ?? bar.id, `bar:${card.id}:${bar.id}`,
      `bar ${bar.colour} state-${bar.state}`, label,
      svg("rect", { class: "body", x: bar.x, y: bar.y, width: bar.width, height: BAR.height, rx: 8 }),
      svg("text", { class: "name", x: bar.x + 12, y: bar.y + 17 }, name),
      left > 40 ? svg("text", { class: "inner", x: bar.x + 20 + name.length * 7.9, y: bar.y + 17 },
        cut(bar.inner, Math.floor(left / 6))) : null);
    if (bar.exit) {
      const width = bar.exit.length * LETTER + 14;
      node.append(
        svg("rect", { class: "device", x: right - width - 4, y: bar.y + 4, width, height: BAR.height - 8, rx: 5 }),
        svg("text", { class: "device-name", x: right - 4 - width / 2, y: bar.y + 17 }, bar.exit),
      );
    }
    return node;
  }

  exits(card) {
    const group = svg("g", { class: "exits" });
    const tunnels = card.bars.filter((bar) => bar.exit);
    if (card.plate) {
      for (const bar of tunnels) {
        group.append(this.line(bar.exitLine, exit(card, bar), `exit ${bar.colour}`, bar.state));
      }
    } else if (tunnels.length > 1) {
      const found = spine(card);
      const all = [found.path, ...found.stubs].join(" ");
      group.append(svg("path", { class: `spine ${card.colour ?? ""}`, d: all }));
    }
    return group;
  }

  wire(card, wire, found) {
    const group = this.line(wire.line || wire.id, found.path, `wire ${wire.colour}`, wire.state);
    group.append(
      svg("circle", { class: `joint ${wire.colour}`, cx: found.end.x, cy: found.end.y, r: 3 }),
      svg("circle", { class: "port", cx: found.start.x, cy: found.start.y, r: 2.4 }),
    );
    return group;
  }

  line(id, path, classes, state) {
    const flow = svg("path", { class: "flow", d: path });
    const group = svg("g", { class: `line ${classes} state-${state}` },
      svg("path", { class: "base", d: path }), flow);
    if (!this.lines.has(id)) this.lines.set(id, []);
    this.lines.get(id).push({ group, flow });
    return group;
  }

  chip(card, chip) {
    const words = [chip.label, chip.count ? `${chip.count} containers` : "", chip.sub,
      chip.state !== "ok" ? `${chip.state} ${chip.thing.note ?? ""}` : ""];
    const stacked = chip.kind === "group" || chip.kind === "rest";
    const letters = Math.floor((chip.width - 28) / 7);
    const node = this.item(chip.id, `chip:${card.id}:${chip.id}`,
      `chip kind-${chip.kind} state-${chip.state}`, words.filter(Boolean).join(", "));
    const box = { width: chip.width, height: chip.height, rx: 9 };
    if (stacked) {
      node.append(svg("rect", { class: "behind", x: chip.x + 5, y: chip.y + 5, ...box }));
      node.append(svg("rect", { class: "behind", x: chip.x + 2.5, y: chip.y + 2.5, ...box }));
    }
    const sub = chip.count ? `× ${chip.count}` : chip.sub;
    node.append(
      svg("title", {}, words.filter(Boolean).join("\n")),
      svg("rect", { class: "body", x: chip.x, y: chip.y, ...box }),
      svg("circle", { class: `dot state-${chip.state}`, cx: chip.x + 13, cy: chip.y + 14, r: 3.6 }),
      svg("text", { class: "name", x: chip.x + 22, y: chip.y + 18 }, cut(chip.label, letters)),
      svg("text", { class: "sub", x: chip.x + 22, y: chip.y + 32, "data-sub": sub }, cut(sub, letters + 2)),
    );
    return node;
  }

  plate(card) {
    const { plate } = card;
    return this.item(card.id, `plate:${card.id}`, "plate", `${card.title}, ${plate.label}`,
      svg("path", {
        class: "body",
        d: `M${plate.x},${plate.y} h${plate.width} v${plate.height - 14} q0,14 -14,14 `
          + `h${28 - plate.width} q-14,0 -14,-14 z`,
      }),
      svg("text", { class: "name", x: card.width / 2, y: plate.y + 19 }, plate.label),
      svg("text", { class: "rate", x: card.width - 22, y: plate.y + 19, "data-rate": card.id }));
  }

  join(join, found) {
    const group = this.line(join.id, found.path, "join", join.state ?? "ok");
    group.append(svg("title", {}, this.joinWords(join)));
    return group;
  }

  joinWords(join) {
    return [`tunnels of ${join.facts?.networks ?? ""}`, join.facts?.delay, join.note]
      .filter(Boolean).join("\n");
  }

  // --- what flows

  /** Show how much flows. */
  flows(graph) {
    let moving = 0;
    for (const [id, paths] of this.lines) {
      const [into, out] = graph.rates.get(id) ?? [0, 0];
      const sum = into + out;
      const strength = sum ? Math.min(Math.max(Math.log10(sum) - 1.5, 0.4), 6) : 0;
      const moves = sum > 0 && moving < MOVING;
      if (moves) moving += 1;
      for (const { group, flow } of paths) {
        group.classList.toggle("flowing", moves);
        flow.style.strokeWidth = `${1 + strength * 0.55}px`;
        flow.style.animationDuration = `${(3.2 - strength * 0.42).toFixed(1)}s`;
        flow.style.animationDirection = into > out ? "reverse" : "normal";
      }
    }
    for (const node of this.root.querySelectorAll("[data-rate]")) {
      const [into, out] = graph.rates.get(node.dataset.rate) ?? [0, 0];
      node.textContent = rate(into + out);
    }
  }

  // --- marks

  /** Mark what is chosen (a thing's id, "" for none) and what is lit (see tracing.js). */
  mark(chosen, lit) {
    this.root.classList.toggle("tracing", Boolean(lit));
    for (const node of this.items.values()) {
      const { id } = node.dataset;
      node.classList.toggle("chosen", id === chosen);
      node.setAttribute("aria-pressed", String(id === chosen));
      const state = lit?.things.get(id);
      const own = state && !(node.classList.contains("plate") && !lit.plates.has(id));
      node.classList.toggle("lit", Boolean(own));
      node.classList.toggle("drop", own ? state === "broken" : false);
      node.classList.toggle("end", Boolean(lit?.ends.includes(id)));
    }
    for (const [id, paths] of this.lines) {
      for (const { group } of paths) group.classList.toggle("lit", Boolean(lit?.lines.has(id)));
    }
    this.bubbles?.replaceChildren();
    if (lit?.drop) this.bubble(lit.drop.id, lit.drop.words);
  }

  bubble(id, words) {
    const target = this.find(id);
    if (!target) return;
    const box = target.getBBox();
    const frame = target.closest(".card").transform.baseVal[0].matrix;
    const lines = wrapped(words, 40).slice(0, 5);
    const width = Math.max(...lines.map((line) => line.length)) * 6.3 + 24;
    const height = lines.length * 16 + 14;
    const x = Math.max(6, Math.min(frame.e + box.x + box.width / 2 - width / 2, this.size.width - width - 6));
    const above = frame.f + box.y - height - 12;
    const y = above > 4 ? above : frame.f + box.y + box.height + 12;
    const foot = frame.e + box.x + box.width / 2;
    const tip = above > 4
      ? `M${foot - 7},${y + height - 1} l7,9 l7,-9 z` : `M${foot - 7},${y + 1} l7,-9 l7,9 z`;
    this.bubbles.append(svg("g", { class: "bubble" },
      svg("path", { d: tip }),
      svg("rect", { x, y, width, height, rx: 8 }),
      ...lines.map((line, place) => svg("text", { x: x + 12, y: y + 20 + place * 16 }, line))));
  }

  /** The item that stands for a thing. */
  find(id) {
    const found = [...this.items.values()].filter((node) => node.dataset.id === id);
    return found.find((node) => node.classList.contains("chip")) ?? found[0];
  }

  // --- focus: one item takes part in the order of Tab, arrows go to the others

  rove(node) {
    for (const other of this.items.values()) other.setAttribute("tabindex", other === node ? 0 : -1);
    this.focus = node.dataset.item;
  }

  regain(key) {
    const node = this.items.get(key) ?? this.items.values().next().value;
    if (!node) return;
    this.rove(node);
    if (key && document.activeElement === document.body && this.held) node.focus();
  }

  /** Go from what has the focus to what is beside it. */
  go(direction) {
    const from = document.activeElement?.closest?.("[data-item]") ?? this.items.get(this.focus);
    if (!from) return;
    const at = middle(from);
    let best = null;
    let least = Infinity;
    for (const node of this.items.values()) {
      if (node === from) continue;
      const to = middle(node);
      const [dx, dy] = [to.x - at.x, to.y - at.y];
      const along = { left: -dx, right: dx, up: -dy, down: dy }[direction];
      const aside = direction === "left" || direction === "right" ? Math.abs(dy) : Math.abs(dx);
      const cost = along + aside * 2.5;
      if (along > 4 && cost < least) [best, least] = [node, cost];
    }
    const next = document.activeElement === from ? best : from;
    next?.focus();
    next?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

function middle(node) {
  const box = node.getBoundingClientRect();
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

function wrapped(text, letters) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length >= letters) lines.push(cut(word, letters));
    else lines[lines.length - 1] = last ? `${last} ${word}` : cut(word, letters);
  }
  return lines;
}
