// Where the page is, in the URL's fragment, so that it can be kept and passed on.

const VIEWS = ["hosts", "services", "networks", "matrix"];

/** What the fragment says. */
export function read() {
  const words = new URLSearchParams(location.hash.slice(1));
  const view = words.get("view") ?? "hosts";
  return {
    view: VIEWS.includes(view) ? view : "hosts",
    find: (words.get("find") ?? "").slice(0, 200),
    chosen: words.get("chosen") ?? "",
    from: words.get("from") ?? "",
    to: words.get("to") ?? "",
    expand: words.getAll("expand").slice(0, 50),
  };
}

/** Write it there. Another view is a step that the browser's Back undoes; all else is not. */
export function write(place, step) {
  const words = new URLSearchParams();
  if (place.view !== "hosts") words.set("view", place.view);
  for (const key of ["find", "chosen", "from", "to"]) if (place[key]) words.set(key, place[key]);
  for (const id of place.expand) words.append("expand", id);
  const text = words.toString();
  if (text === location.hash.slice(1)) return;
  const url = `${location.pathname}${text ? `#${text}` : ""}`;
  if (step) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}
