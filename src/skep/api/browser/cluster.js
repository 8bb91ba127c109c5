// The graph as the manager tells it: whole first, then change by change (src/skep/topology/graph.py).

/** What the manager told. `things`, `lines` and `rates` are maps by id. */
export class Graph {
  constructor() {
    this.things = new Map();
    this.lines = new Map();
    this.rates = new Map();
    this.boxes = 0;
    this.folded = false;
    this.known = false;
  }

  /** Become another graph. */
  whole(told) {
    this.things = new Map(Object.entries(told.things ?? {}));
    this.lines = new Map(Object.entries(told.lines ?? {}));
    this.rates = new Map(Object.entries(told.rates ?? {}));
    this.boxes = told.boxes ?? 0;
    this.folded = told.folded ?? false;
    this.known = true;
  }

  /** Take a change over. Answers whether more than rates changed. */
  change(told) {
    const put = (map, entries, gone) => {
      for (const [id, value] of Object.entries(entries ?? {})) map.set(id, value);
      for (const id of gone ?? []) map.delete(id);
    };
    put(this.things, told.things, told.gone);
    put(this.lines, told.lines, told.gone_lines);
    put(this.rates, told.rates, told.still);
    if (told.boxes !== undefined && told.boxes !== null) this.boxes = told.boxes;
    if (told.folded !== undefined && told.folded !== null) this.folded = told.folded;
    return Boolean(told.things || told.lines || told.gone || told.gone_lines);
  }

  thing(id) {
    return this.things.get(id);
  }

  name(id) {
    return this.things.get(id)?.name ?? "";
  }

  of(kind) {
    return [...this.things.values()].filter((thing) => thing.kind === kind);
  }

  stateOf(thing) {
    return thing.state ?? "ok";
  }
}

const AGAIN = 2000;

/** The stream of changes. `told` is called with whether more than rates changed, `state` with
 * "live" or "lost" and a sentence. */
export class Stream {
  constructor(graph, told, state) {
    this.graph = graph;
    this.told = told;
    this.state = state;
    this.source = null;
    this.query = null;
    this.timer = 0;
    // A browser keeps few connections to one address, and pages that are left keep theirs.
    window.addEventListener("pagehide", () => this.rest());
    window.addEventListener("pageshow", (event) => {
      if (event.persisted && this.query !== null) this.begin();
    });
  }

  rest() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  /** Follow the picture that a query (URLSearchParams) asks for. */
  open(query) {
    const text = query.toString();
    if (this.query === text && this.source) return;
    this.query = text;
    this.begin();
  }

  begin() {
    this.rest();
    const source = new EventSource(`/skep/topology/events${this.query ? `?${this.query}` : ""}`);
    this.source = source;
    source.addEventListener("whole", (event) => {
      this.graph.whole(JSON.parse(event.data));
      this.state("live", "live");
      this.told(true);
    });
    source.addEventListener("change", (event) => {
      this.told(this.graph.change(JSON.parse(event.data)));
    });
    source.addEventListener("error", () => this.failed(source));
  }

  async failed(source) {
    if (source !== this.source) return;
    if (source.readyState !== EventSource.CLOSED) {
      this.state("lost", "trying again");
      return;
    }
    // Refused: the same question, asked plainly, tells why.
    this.source = null;
    this.timer = setTimeout(() => this.begin(), AGAIN);
    try {
      await ask(`/skep/topology?${this.query}`);
    } catch (error) {
      this.state("lost", error.message);
    }
  }
}

/** GET a JSON answer. Throws an Error with the daemon's own sentence. */
export async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { headers: { Accept: "application/json" } });
  } catch {
    throw new Error("the manager cannot be reached");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.message ?? `the manager answered ${answer.status}`);
  return body;
}
