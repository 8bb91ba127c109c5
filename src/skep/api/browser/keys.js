// The keyboard.

import { $ } from "./dom.js";

const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const VIEWS = { 1: "hosts", 2: "services", 3: "networks", 4: "matrix" };
const ZOOMS = { "+": "in", "=": "in", "-": "out", 0: "fit" };

/** Have keys do what the page can do. */
export function listen(page) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("#help").open) return;
    if (pressed(page, event)) event.preventDefault();
  });
  $("#helper").addEventListener("click", () => $("#help").showModal());
  document.addEventListener("focusin", () => {
    page.picture.held = Boolean(document.activeElement?.closest?.("[data-item]"));
  });
}

function pressed(page, event) {
  const writing = event.target.matches("input, textarea, select");
  if (event.key === "Escape") {
    if (writing) event.target.blur();
    page.letGo();
    return true;
  }
  if (writing) return false;
  if (event.target.closest("#views") && ARROWS[event.key]) return turned(event);
  if (event.target.closest("#panel")) return false;
  const item = event.target.closest?.("[data-item]");
  if ((event.key === "Enter" || event.key === " ") && item) {
    const thing = page.graph.thing(item.dataset.id);
    if (["group", "rest"].includes(thing?.kind) && page.place.chosen === thing.id) page.expand(thing.id);
    else page.clicked(item.dataset.id);
    return true;
  }
  return shortcut(page, event.key);
}

function shortcut(page, key) {
  if (key === "/") $("#find").select();
  else if (key === "?") $("#help").showModal();
  else if (key === "t") page.trace();
  else if (VIEWS[key]) page.go(VIEWS[key]);
  else if (ZOOMS[key]) page.zoom(ZOOMS[key]);
  else if (ARROWS[key] && page.place.view !== "matrix") page.picture.go(ARROWS[key]);
  else return false;
  return true;
}

// From one tab to the next, as everywhere.
function turned(event) {
  const tabs = [...$("#views").children];
  const step = { left: -1, right: 1 }[ARROWS[event.key]];
  if (!step) return false;
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
  return true;
}
