// Where everything is. A card: its head, rows of chips with a gutter left of each column in which
// wires go down to the bars, the bars, and the plate that stands for the host's own link.

export const CHIP = { width: 116, height: 40, gap: 12 };
export const BAR = { height: 26, gap: 10 };
const HEAD = 54;
const PAD = 16;
const TRUNK = 7;
const EXIT = 22;
const PLATE = 30;
const SPACE = 28;
const UNDER = 64; // Between rows of hosts, where tunnels are.

/** Place cards within a width in pixels. Answers the placed cards and the size of all. */
export function layout(drawing, width) {
  const narrow = width < 560;
  const placed = drawing.cards.map((card) => inside(card, narrow, width));
  const rowGap = drawing.joins.length ? UNDER : SPACE;
  const rows = fill(placed, width - 2 * SPACE);
  let y = SPACE;
  let widest = 0;
  const margin = narrow ? 8 : SPACE;
  for (const row of rows) {
    const total = row.reduce((sum, card) => sum + card.width, 0) + SPACE * (row.length - 1);
    let x = Math.max((width - total) / 2, margin);
    const tallest = Math.max(...row.map((card) => card.height));
    for (const card of row) {
      Object.assign(card, { x, y });
      // Bars of neighbours are on one line: what is missing goes between chips and bars.
      x += card.width + SPACE;
    }
    if (drawing.joins.length) row.forEach((card) => stretch(card, tallest));
    widest = Math.max(widest, x - SPACE + margin);
    y += tallest + rowGap;
  }
  return { cards: placed, width: Math.max(widest, width), height: y + 8 };
}

function fill(cards, width) {
  const rows = [];
  let row = [];
  let used = 0;
  for (const card of cards) {
    if (row.length && used + SPACE + card.width > width) {
      rows.push(row);
      row = [];
      used = 0;
    }
    used += (row.length ? SPACE : 0) + card.width;
    row.push(card);
  }
  if (row.length) rows.push(row);
  return rows;
}

function columnsFor(count, narrow) {
  if (narrow) return 2;
  if (count > 60) return 6;
  if (count > 24) return 4;
  return count > 6 ? 3 : 2;
}

function inside(card, narrow, width) {
  const columns = columnsFor(card.chips.length, narrow);
  const trunks = new Map(card.bars.map((bar, place) => [bar.id, place]));
  const gutter = 12 + card.bars.length * TRUNK;
  const exits = card.bars.some((bar) => bar.exit) ? EXIT : 0;
  // On a phone, chips give way so that a card is never wider than the screen.
  const room = width - 16 - 2 * PAD - exits;
  const chipWidth = narrow ? Math.min(CHIP.width, room / columns - gutter - CHIP.gap) : CHIP.width;
  const step = gutter + chipWidth + CHIP.gap;
  const rows = Math.max(Math.ceil(card.chips.length / columns), card.chips.length ? 1 : 0);
  const chips = card.chips.map((chip, number) => ({
    ...chip,
    x: PAD + (number % columns) * step + gutter,
    y: HEAD + Math.floor(number / columns) * (CHIP.height + CHIP.gap),
    width: chipWidth,
    height: CHIP.height,
  }));
  const inner = columns * step - CHIP.gap;
  const barsAt = HEAD + rows * (CHIP.height + CHIP.gap) + (rows ? 8 : 0);
  const bars = card.bars.map((bar, place) => ({
    ...bar, x: PAD, y: barsAt + place * (BAR.height + BAR.gap), width: inner, height: BAR.height,
  }));
  const below = barsAt + card.bars.length * (BAR.height + BAR.gap);
  const all = 2 * PAD + inner + exits;
  const plate = card.plate
    ? { ...card.plate, x: 0, y: below + 4, width: all, height: PLATE } : null;
  const height = plate ? plate.y + PLATE : below + PAD - BAR.gap;
  return {
    ...card, chips, bars, plate, width: all, height, trunks, gutter, exits, barsAt, x: 0, y: 0,
  };
}

// Make a card as tall as its row, by room above its bars.
function stretch(card, tallest) {
  const more = tallest - card.height;
  card.bars.forEach((bar) => { bar.y += more; });
  if (card.plate) card.plate.y += more;
  card.barsAt += more;
  card.height = tallest;
}

/** The way of a wire: out of a chip's left side, down its gutter, onto its bar. */
export function way(card, chip, bar, place, plugs) {
  const y = chip.y + (chip.height / (plugs + 1)) * (place + 1);
  const x = chip.x - 8 - card.trunks.get(bar.id) * TRUNK;
  const bend = 4;
  return {
    path: `M${chip.x},${y} H${x + bend} Q${x},${y} ${x},${y + bend} V${bar.y + 1}`,
    end: { x, y: bar.y + 1 },
    start: { x: chip.x, y },
  };
}

/** The way from a bar's tunnel device down to the plate. */
export function exit(card, bar) {
  const x = card.width - PAD - (card.trunks.get(bar.id) % 4) * 5;
  const y = bar.y + bar.height / 2;
  const end = card.plate ? card.plate.y : card.height;
  return `M${bar.x + bar.width},${y} H${x - 5} Q${x},${y} ${x},${y + 5} V${end}`;
}

/** The line that joins all bars of a card at their right, as one network does. */
export function spine(card) {
  const x = card.width - PAD - EXIT / 2 + 4;
  const first = card.bars[0];
  const last = card.bars[card.bars.length - 1];
  return {
    path: `M${first.x + first.width},${first.y + first.height / 2} H${x} `
      + `V${last.y + last.height / 2} H${last.x + last.width}`,
    stubs: card.bars.slice(1, -1)
      .map((bar) => `M${bar.x + bar.width},${bar.y + bar.height / 2} H${x}`),
  };
}

/** The way of a tunnel between two cards' plates. */
export function tunnel(one, other, place) {
  const [left, right] = one.x <= other.x ? [one, other] : [other, one];
  const foot = (card, side) => ({
    x: card.x + card.width / 2 + side * Math.min(card.width / 4, 60) + place * 3,
    y: card.y + card.height,
  });
  if (Math.abs(one.y - other.y) < 2) {
    const from = foot(left, 1);
    const to = foot(right, -1);
    const depth = 22 + Math.min((to.x - from.x) / 14, 30);
    return {
      path: `M${from.x},${from.y} C${from.x},${from.y + depth} ${to.x},${to.y + depth} ${to.x},${to.y}`,
      middle: { x: (from.x + to.x) / 2, y: from.y + depth * 0.75 },
    };
  }
  const [upper, lower] = one.y < other.y ? [one, other] : [other, one];
  const from = { x: upper.x + 6, y: upper.y + upper.height - 15 };
  const to = { x: lower.x + 6, y: lower.y + lower.height - 15 };
  const swing = Math.min(12 + Math.abs(to.y - from.y) / 90, from.x < 40 ? 16 : 26);
  return {
    path: `M${from.x},${from.y} C${from.x - swing},${from.y} ${to.x - swing},${to.y} ${to.x},${to.y}`,
    middle: { x: Math.min(from.x, to.x) - swing / 2, y: (from.y + to.y) / 2 },
  };
}
