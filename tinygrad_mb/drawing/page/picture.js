/* The picture: what is shown of it, where it stands, and how it is moved, folded and lit. */

const SVG = "http://www.w3.org/2000/svg";
const COLUMNS = 8;  // the size of letters in tables of numbers, which are no lines
const UNREADABLE = 0.55;  // letters of less than 6 pixels
const READABLE = 0.8;
const AROUND = 9;  // room around boxes that stays as it is: borders of frames and heads of arrows stand in it

function drawn(tag, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

/** What elements cover: of shapes by their points, so that the browser need not lay out anything; of texts as drawn. */
function rectOf(elements) {
  const rect = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  for (const one of elements) {
    const points = [...(one.getAttribute("points") || one.getAttribute("d") || "").matchAll(PAIR)].map((pair) => [+pair[1], +pair[2]]);
    if (!points.length) {
      const { x, y, width, height } = one.getBBox();
      points.push([x, y], [x + width, y + height]);
    }
    for (const [x, y] of points) {
      rect.x0 = Math.min(rect.x0, x); rect.x1 = Math.max(rect.x1, x);
      rect.y0 = Math.min(rect.y0, y); rect.y1 = Math.max(rect.y1, y);
    }
  }
  return rect;
}

const isShape = (one) => ["polygon", "path", "ellipse", "polyline"].includes(one.tagName);
const shortened = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);

class Picture {
  constructor(stage, data) {
    this.stage = stage;
    this.data = data;
    this.svg = stage.querySelector("svg");
    this.root = this.svg.querySelector("g");
    this.view = { x: 0, y: 0, scale: 1 };
    this.boxes = new Map();
    this.clusters = new Map();
    this.edges = new Map();
    this.folded = new Set();
    this.read();
    const everything = this.items([...this.boxes.values()].map((box) => box.rect), [...this.clusters.values()],
      [...this.edges.values()]);
    this.bands = [0, 1].map((k) => between(merged(everything[k])));
    for (const cluster of this.clusters.values()) if (cluster.fact.folded) this.folded.add(cluster.id);
    this.layout();
  }

  // ------------------------------------------------------------------------------------- reading the drawn picture

  read() {
    for (const name of ["width", "height", "viewBox"]) this.svg.removeAttribute(name);
    this.root.removeAttribute("transform");
    const head = drawn("marker", { id: "head", viewBox: "0 0 10 8", refX: 9, refY: 4, markerWidth: 8, markerHeight: 7,
      markerUnits: "userSpaceOnUse", orient: "auto" });
    head.append(drawn("path", { d: "M0,0 L10,4 L0,8 z" }));
    this.svg.append(head);
    this.joined = drawn("g");
    const found = [];  // all is measured before anything is changed, or the browser would lay it out again each time
    for (const g of this.root.children) {
      const kind = g.classList[0];
      if (kind === "node" && this.data.boxes[g.id]) found.push([this.readBox, g, this.measuredBox(g)]);
      else if (kind === "cluster" && this.data.clusters[g.id]) found.push([this.readCluster, g, this.measuredCluster(g)]);
    }
    for (const fact of this.data.edges) {
      const g = document.getElementById(fact.id);
      if (g) found.push([this.readEdge, g, this.measuredEdge(fact, g)]);
    }
    for (const [read, g, measured] of found) read.call(this, g, measured);
    const firstNode = this.root.querySelector(".node, .edge");
    this.root.insertBefore(this.joined, firstNode);
    for (const cluster of this.clusters.values()) this.root.append(cluster.button, cluster.box);
  }

  measuredBox(g) {
    const shapes = [...g.querySelectorAll("*")].filter(isShape);
    return { rect: rectOf(shapes.length ? shapes : [g]) };
  }

  readBox(g, { rect }) {
    const fact = this.data.boxes[g.id];
    g.classList.add(fact.kind);
    g.setAttribute("tabindex", "0");
    g.setAttribute("role", "img");
    g.setAttribute("aria-label", `${fact.kind} ${shortened(fact.title, 80)}, shape ${fact.shape.join(" by ") || "scalar"}`);
    this.centre(g, rect);
    this.boxes.set(g.id, { id: g.id, fact, g, rect });
  }

  /** Lines of text are centred anew: a browser's letters are not as wide as the layout engine took them to be. */
  centre(g, rect) {
    const lines = new Map();
    for (const text of g.querySelectorAll("text")) {
      if (Number(text.getAttribute("font-size")) <= COLUMNS) continue;
      const y = text.getAttribute("y");
      if (!lines.has(y)) lines.set(y, []);
      lines.get(y).push(text);
    }
    for (const [y, pieces] of lines) {
      const line = drawn("text", { x: middleOf(rect)[0], y, "text-anchor": "middle" });
      pieces[0].before(line);
      for (const piece of pieces) {
        const part = drawn("tspan", {}, piece.textContent);
        for (const { name, value } of piece.attributes) if (!["x", "y", "text-anchor"].includes(name)) part.setAttribute(name, value);
        line.append(part);
        piece.remove();
      }
    }
  }

  measuredCluster(g) {
    const border = [...g.children].find(isShape);
    const title = [...g.children].filter((one) => one !== border);
    return { border, title, rect: rectOf([border]), titleRect: title.length ? rectOf(title) : null };
  }

  readCluster(g, { border, title, rect, titleRect }) {
    const id = g.id, fact = this.data.clusters[id];
    const name = shortened(fact.title, 60);
    const button = drawn("g", { class: "button" });
    button.append(drawn("circle", { r: 7 }), drawn("path", { d: "M-4,0 H4" }));
    const members = Object.values(this.data.boxes).filter((box) => box.clusters.includes(id));
    const operations = members.filter((box) => box.kind === "operation" || box.kind === "output").length;
    const sums = this.data.edges.filter((edge) => edge.sum && this.data.boxes[edge.target].clusters.includes(id)).length;
    const says = `▸ ${operations} operation${operations === 1 ? "" : "s"}${sums ? ` · ${sums} Σ` : ""}`;
    const width = Math.min(rect.x1 - rect.x0, Math.max(5.2 * says.length + 16, 7 * fact.title.length + 28));
    const height = Math.min(rect.y1 - rect.y0, 40);
    const [x, y] = middleOf(rect);
    const foldedRect = { x0: x - width / 2, x1: x + width / 2, y0: y - height / 2, y1: y + height / 2 };
    const box = drawn("g", { class: "folded", id: `${id}-folded` });
    const from = { x: foldedRect.x0, y: foldedRect.y0, width, height, rx: 6 };
    box.append(drawn("rect", { ...from, class: "behind" }), drawn("rect", from),
      drawn("text", { x, y: y - 2 }, shortened(fact.title, Math.floor((width - 12) / 6.8))),
      drawn("text", { x, y: y + 12, class: "small" }, shortened(says, Math.floor((width - 8) / 4.8))));
    for (const [one, is] of [[g, "frame"], [box, "folded"]]) {
      one.setAttribute("tabindex", "0");
      one.setAttribute("role", "button");
      one.setAttribute("aria-label", `${fact.kind} ${name}, ${operations} operations`);
      one.dataset.cluster = id;
      one.dataset.is = is;
    }
    button.dataset.cluster = id;
    this.clusters.set(id, { id, fact, g, border, title, button, box, rect, foldedRect, members, operations, titleRect, drawn: this.drawing([border]) });
  }

  measuredEdge(fact, g) {
    const path = g.querySelector("path");
    const ends = [...path.getAttribute("d").matchAll(PAIR)].map((pair) => [+pair[1], +pair[2]]);
    const near = (one) => [...(one.getAttribute("points") || "").matchAll(PAIR)].some((pair) =>
      [ends[0], ends[ends.length - 1]].some(([x, y]) => Math.hypot(x - pair[1], y - pair[2]) < 4));
    const lines = [...g.querySelectorAll("path, polygon")].filter((one) => one === path || near(one));
    const label = [...g.querySelectorAll("path, polygon, polyline, text")].filter((one) => !lines.includes(one));
    const shapes = label.filter(isShape);
    return { fact, path, lines, label, rect: label.length ? rectOf(shapes.length ? shapes : label) : null };
  }

  readEdge(g, { fact, path, lines, label: parts, rect }) {
    let label = null;
    if (rect) {
      label = drawn("g", { class: "label" });
      label.append(...parts);
      g.append(label);
      if (parts.filter((one) => one.tagName === "text").length === 1) this.centre(label, rect);
    }
    g.classList.toggle("carries", fact.carries);
    g.dataset.edge = fact.id;
    const text = fact.sum && label && label.querySelector("tspan");
    const badge = text && { text, shapes: label.querySelectorAll("path, polygon, polyline"), widest: text.textContent.length,
      short: text.textContent.replace(/ × \d+ uses$/, "") };
    this.edges.set(fact.id, { id: fact.id, fact, g, label, badge, rect, points: flattened(path.getAttribute("d")),
      drawn: this.drawing(lines) });
  }

  /** The lines of a shape and how they stood, so that they can be moved. */
  drawing(lines) {
    return lines.map((one) => {
      const name = one.tagName === "path" ? "d" : "points";
      return { one, name, points: one.getAttribute(name) };
    });
  }

  /** All that keeps its form, as intervals of x and of y. */
  items(rects, clusters, edges) {
    const xs = [], ys = [];
    const keep = (rect, around) => {
      xs.push([rect.x0 - around, rect.x1 + around]);
      ys.push([rect.y0 - around, rect.y1 + around]);
    };
    rects.forEach((rect) => keep(rect, AROUND));
    for (const { rect, titleRect } of clusters) {
      if (titleRect) keep(titleRect, 3);
      for (const x of [rect.x0, rect.x1]) xs.push([x - 3, x + 3]);
      for (const y of [rect.y0, rect.y1]) ys.push([y - 3, y + 3]);
    }
    for (const { rect } of edges) if (rect) keep(rect, 3);
    return [xs, ys];
  }

  // -------------------------------------------------------------------------------------------------------- folding

  /** What stands for a box: itself, the box of the first turn, or a folded module. */
  standsFor(id) {
    const { fact } = this.boxes.get(id);
    for (const cluster of fact.clusters) {
      if (!this.folded.has(cluster)) continue;
      if (this.data.clusters[cluster].kind === "module") return cluster;
      if (fact.twins[cluster]) return this.standsFor(fact.twins[cluster][0]);
    }
    const outside = Object.keys(fact.twins).find((cluster) => this.folded.has(cluster));  // of data of later turns
    return outside ? this.standsFor(fact.twins[outside][0]) : id;
  }

  fold(cluster, folded) {
    const before = this.screenRect(cluster);
    if (folded) this.folded.add(cluster); else this.folded.delete(cluster);
    this.layout();
    const after = this.screenRect(cluster);  // what was clicked stays under the pointer
    if (before && after) {
      const middle = (rect, a, b) => (rect[a] + rect[b]) / 2;
      this.pan(middle(before, "left", "right") - middle(after, "left", "right"), folded
        ? middle(before, "top", "bottom") - middle(after, "top", "bottom") : before.top - after.top);
    }
  }

  foldAll(folded) {
    this.folded = new Set(folded ? this.clusters.keys() : []);
    this.layout();
    this.fit(UNREADABLE);
  }

  screenRect(cluster) {
    const { g, box } = this.clusters.get(cluster);
    const one = [g, box].find((candidate) => !candidate.classList.contains("gone"));
    return one ? one.getBoundingClientRect() : null;
  }

  layout() {
    const stands = new Map(), frames = new Set(), closed = new Set();
    for (const [id, { fact }] of this.boxes) {
      const shown = this.standsFor(id);
      stands.set(id, shown);
      if (shown === id) fact.clusters.forEach((cluster) => frames.add(cluster));
      if (this.clusters.has(shown)) {
        closed.add(shown);
        for (let up = this.data.clusters[shown].parent; up; up = this.data.clusters[up].parent) frames.add(up);
      }
    }
    this.stands = stands;
    const edges = [...this.edges.values()];
    const whole = edges.filter(({ fact }) => [fact.source, fact.target].every((end) => stands.get(end) === end));
    const rects = [...this.boxes.values()].filter(({ id }) => stands.get(id) === id).map((box) => box.rect)
      .concat([...closed].map((id) => this.clusters.get(id).foldedRect));
    const kept = this.items(rects, [...frames].map((id) => this.clusters.get(id)), whole);
    const spans = kept.map(merged);
    const [mapX, mapY] = [0, 1].map((k) => closing(spans[k], this.bands[k]));
    this.extent = [0, 1].flatMap((k) => {
      const map = [mapX, mapY][k], all = spans[k];
      return all.length ? [map(all[0][0]), map(all[all.length - 1][1])] : [0, 0];
    });
    const shift = (one, rect) => {
      const [x, y] = [mapX(rect.x0) - rect.x0, mapY(rect.y0) - rect.y0];
      one.style.transform = x || y ? `translate(${x.toFixed(2)}px, ${y.toFixed(2)}px)` : "";
      return { x0: rect.x0 + x, x1: rect.x1 + x, y0: rect.y0 + y, y1: rect.y1 + y };
    };
    const move = ({ drawn }) => {
      for (const { one, name, points } of drawn) one.setAttribute(name, mappedPoints(points, mapX, mapY));
    };
    const show = (one, visible) => one.classList.toggle("gone", !visible);

    this.places = new Map();
    for (const { id, g, rect } of this.boxes.values()) {
      show(g, stands.get(id) === id);
      if (stands.get(id) === id) this.places.set(id, shift(g, rect));
    }
    for (const cluster of this.clusters.values()) {
      const { id, g, box, button, title, rect, titleRect, foldedRect } = cluster;
      const folded = this.folded.has(id);
      show(g, frames.has(id)); show(button, frames.has(id)); show(box, closed.has(id));
      if (closed.has(id)) this.places.set(id, shift(box, foldedRect));
      if (!frames.has(id)) continue;
      move(cluster);
      if (titleRect) title.forEach((one) => shift(one, titleRect));
      if (cluster.fact.kind === "repeat") title.slice(1).forEach((one) => show(one, folded));  // that the first is shown
      button.style.transform = `translate(${mapX(rect.x1) - 14}px, ${mapY(rect.y0)}px)`;
      button.lastChild.setAttribute("d", folded ? "M-4,0 H4 M0,-4 V4" : "M-4,0 H4");
      g.setAttribute("aria-expanded", String(!folded));
      box.setAttribute("aria-expanded", "false");
    }
    for (const { g } of edges) show(g, false);
    for (const edge of whole) {
      show(edge.g, true);
      move(edge);
      if (edge.label) shift(edge.label, edge.rect);
    }
    this.join(edges, whole, mapX, mapY);
    if (this.onLayout) this.onLayout();
  }

  /** Edges of what is folded, drawn once between the boxes that stand for their ends. */
  join(edges, whole, mapX, mapY) {
    this.joined.replaceChildren();
    this.drawnAs = new Map();
    const between = new Map();
    for (const { id, fact, g } of whole) {
      between.set(`${fact.source} ${fact.target} false`, g);
      this.drawnAs.set(id, g);
    }
    for (const edge of edges) {
      if (this.drawnAs.has(edge.id)) continue;
      const [source, target] = [this.stands.get(edge.fact.source), this.stands.get(edge.fact.target)];
      const again = this.returns(edge);
      if ((source === target && (!again || this.clusters.has(source))) || !this.places.has(source) || !this.places.has(target)) continue;
      const key = `${source} ${target} ${again}`;
      let line = between.get(key);
      if (!line) {
        line = drawn("g", { class: "edge joined", "data-source": source, "data-target": target, "data-count": 0 });
        line.append(drawn("path", { "marker-end": "url(#head)", fill: "none" }));
        if (again) line.classList.add("again");
        if (again) this.loop(line, source, target);
        else line.firstChild.setAttribute("d", this.route(edge, source, target, mapX, mapY));
        this.joined.append(line);
        between.set(key, line);
      }
      if (line.dataset.count) line.dataset.count = Number(line.dataset.count) + 1;
      for (const name of ["carries", "examples"]) if (edge.fact[name]) line.classList.add(name);
      this.drawnAs.set(edge.id, line);
    }
    this.count(edges);
  }

  /** Badges say how many uses of the same parameter they stand for. */
  count(edges) {
    const uses = new Map();
    const leaf = ({ source }) => this.data.boxes[source].stub_of || source;
    const key = (edge) => `${this.drawnAs.get(edge.id).dataset.edge} ${leaf(edge.fact)}`;
    const counted = edges.filter((edge) => edge.fact.sum && this.drawnAs.has(edge.id));
    for (const edge of counted) uses.set(key(edge), (uses.get(key(edge)) || 0) + edge.fact.sum.uses);
    for (const edge of counted) {
      if (!edge.badge || this.drawnAs.get(edge.id) !== edge.g) continue;
      const { text, shapes, short, widest } = edge.badge;
      const count = uses.get(key(edge));
      const says = count > 1 ? `${short} × ${count} uses` : short;
      text.textContent = says;
      for (const shape of shapes) shape.style.transform = says.length < widest ? `scaleX(${says.length / widest})` : "";
    }
  }

  /** Whether an edge leads from one turn of a folded repeat to a later one. */
  returns({ fact }) {
    const [source, target] = [this.boxes.get(fact.source).fact, this.boxes.get(fact.target).fact];
    const turn = (fact, id) => (fact.twins[id] ? fact.twins[id][1] : 0);
    return source.clusters.some((id) => target.clusters.includes(id) && this.folded.has(id)
      && this.data.clusters[id].kind === "repeat" && turn(source, id) !== turn(target, id));
  }

  /** A curve back up to an earlier box, around the side where less is in its way, and what it is. */
  loop(line, source, target) {
    const [from, to] = [this.places.get(source), this.places.get(target)];
    const [y0, y1] = [(from.y0 + from.y1) / 2, (to.y0 + to.y1) / 2];
    const far = 24 + 0.1 * Math.abs(y0 - y1);
    const [left, right] = [Math.min(from.x0, to.x0), Math.max(from.x1, to.x1)];
    const others = [...this.places.values()].filter((one) => one !== from && one !== to && one.y1 > y1 && one.y0 < y0);
    const count = (low, high) => others.filter((one) => one.x1 > low && one.x0 < high).length;
    const onLeft = count(left - far, Math.max(from.x0, to.x0)) < count(Math.min(from.x1, to.x1), right + far);
    const [start, bend, end] = onLeft ? [from.x0, left - far, to.x0 - 1] : [from.x1, right + far, to.x1 + 1];
    const open = from === to ? 10 : 0;  // a value that is its own next turn
    line.firstChild.setAttribute("d", `M${start},${y0 + open} C${bend},${y0 + open} ${bend},${y1 - open} ${end},${y1 - open}`);
    line.append(drawn("text", { x: (start + 6 * bend + end) / 8 + (onLeft ? -4 : 4), y: (y0 + y1) / 2 + 3,
      "text-anchor": onLeft ? "end" : "start" }, "next turn"));
  }

  /** A straight line if nothing is in its way, else the way of the edge outside what is folded, led on to the boxes. */
  route(edge, source, target, mapX, mapY) {
    const [from, to] = [this.places.get(source), this.places.get(target)];
    const [start, end] = [borderPoint(from, middleOf(to)), borderPoint(to, middleOf(from))];
    const others = [...this.places.values()].filter((place) => place !== from && place !== to);
    if (!others.some((place) => crosses(place, start, end))) return smooth([start, end]);
    const hidden = [source, target].map((id) => this.clusters.get(id)).filter(Boolean).map((cluster) => cluster.rect);
    const whole = [[edge.fact.source, source], [edge.fact.target, target]]  // no end stands in another turn
      .every(([id, shown]) => id === shown || this.clusters.has(shown));
    const points = whole ? edge.points.filter((point) => !hidden.some((rect) => holds(rect, point)))
      .map(([x, y]) => [mapX(x), mapY(y)]) : [];
    if (!points.length) return smooth([start, end]);
    return smooth([borderPoint(from, points[0]), ...points, borderPoint(to, points[points.length - 1])]);
  }

  // ------------------------------------------------------------------------------------------------ moving and zooming

  place() {
    const { x, y, scale } = this.view;
    this.root.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
    if (this.onFit) this.onFit(true);
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.place();
  }

  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const scale = Math.min(8, Math.max(0.02, this.view.scale * factor));
    const real = scale / this.view.scale;
    this.view = { x: x - real * (x - this.view.x), y: y - real * (y - this.view.y), scale };
    this.place();
  }

  /** All of the picture; or, if it would be smaller than `least`, its top, so that it can be read. Whether it is all. */
  fit(least = 0) {
    const [x0, x1, y0, y1] = this.extent;
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    const whole = Math.min((width - 24) / Math.max(1, x1 - x0), (height - 24) / Math.max(1, y1 - y0), 1.6);
    const scale = whole < least ? READABLE : whole;
    const centred = (from, to, room) => (scale * (to - from) > room ? 12 - scale * from : (room - scale * (from + to)) / 2);
    this.view = { x: centred(x0, x1, width), y: centred(y0, y1, height), scale };
    this.place();
    if (this.onFit) this.onFit(scale === whole);
  }

  /** Moves the picture just so far that a box, or what stands for it, can be seen; and read, if it is to be. */
  reveal(id, readable = false) {
    const place = this.places.get(this.stands.get(id) || id);
    if (!place) return;
    if (readable && this.view.scale < READABLE) this.zoom(READABLE / this.view.scale);
    const { x, y, scale } = this.view;
    const off = (low, high, room) => {
      if (low >= 0 && high <= room) return 0;
      const margin = Math.max(0, Math.min(40, (room - (high - low)) / 2));
      return low < 0 ? margin - low : Math.max(room - margin - high, margin - low);
    };
    const dx = off(x + scale * place.x0, x + scale * place.x1, this.stage.clientWidth);
    const dy = off(y + scale * place.y0, y + scale * place.y1, this.stage.clientHeight);
    if (dx || dy) this.pan(dx, dy);
  }

  /** The element that stands for a box. */
  elementOf(id) {
    const shown = this.stands.get(id) || id;
    return this.boxes.has(shown) ? this.boxes.get(shown).g : this.clusters.get(shown).box;
  }

  /** Unfolds the modules around a box, so that it can be seen. */
  unfoldAround(id) {
    const around = this.boxes.get(id).fact.clusters.filter(
      (cluster) => this.folded.has(cluster) && this.data.clusters[cluster].kind === "module");
    around.forEach((cluster) => this.folded.delete(cluster));
    if (around.length) this.layout();
  }
}
