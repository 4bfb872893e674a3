/* The page around the picture: cards, the player, the example that is looked at, search, keys. */

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const stage = $("stage");
const picture = new Picture(stage, data);
const steps = data.steps;
const state = { step: 0, example: null, playing: null, hits: [], hit: -1 };
const isParameter = (id) => data.boxes[id].kind === "parameter";
const edgeOf = new Map(data.edges.map((edge) => [edge.id, edge]));
const ofLeaf = (id) => data.boxes[id].stub_of || id;

// ------------------------------------------------------------------------------------------------------------ cards

const numbered = new Map(Object.values(data.boxes).filter((box) => !box.stub_of).map((box) => [box.number, box]));

/** What a value is called in formulas if it has no name, or shares it. */
const numberOf = (fact) => (fact.kind === "operation" || fact.kind === "output" ? ` #${fact.number}` : "");

/** What the numbers in a formula stand for. */
function operandsOf(formula) {
  const values = [...new Set([...formula.matchAll(/(?<!\w)#(\d+)/g)].map((found) => Number(found[1])))];
  return values.filter((number) => numbered.has(number)).map((number) => {
    const { title, formula: how } = numbered.get(number);
    return element("p", { class: "quiet where" }, element("code", {}, `#${number} = ${shortened(how || title, 80)}`));
  });
}

/** What an edge hands back, in words and numbers. */
function passedView(edge) {
  const source = data.boxes[edge.source];
  const head = element("p", {}, "to ", element("b", {}, shortened(source.title, 40)), numberOf(source),
    ...(edge.rule ? [" by ", element("code", {}, edge.rule)] : []));
  const made = element("div", { class: "passed", "data-edge": edge.id }, head, ...operandsOf(edge.rule));
  if (edge.sum) {
    const along = edge.sum.axis === null ? "" : `, which stand along axis ${edge.sum.axis} of δ`;
    head.append(element("span", { class: "badge" }, `Σ ${edge.sum.count} examples`), element("span", { class: "quiet" }, along));
  }
  if (edge.contributions) made.append(...contributionsView(edge.contributions));
  if (edge.passed) {
    const all = edge.sum && edge.all_sums && element("div", { class: "part total" },
      element("h4", {}, `total of the ${edge.sum.count} examples`), numbersView(edge.passed));
    made.append(all || titled("passed on", edge.passed, state.example));
  }
  return made;
}

/** What the examples contribute to a sum: the chosen one's part and the sum so far, or how much each of them. */
function contributionsView(contributions) {
  const example = state.example;
  if (example === null) {
    return [element("div", { class: "part" }, element("h4", {}, "norm of each example's contribution"),
      bars(contributions.each, null))];
  }
  const made = [element("div", { class: "part own" }, element("h4", {}, `contribution of example ${example}`),
    numbersView(partOf(contributions, example)))];
  const running = sumUpTo(contributions, example);
  if (running) {
    made.push(element("div", { class: "part running" },
      element("h4", {}, example ? `sum over examples 0 to ${example}` : "sum so far, of example 0 alone"), numbersView(running)));
  }
  return made;
}

function headOf(fact) {
  const axis = fact.value ? fact.value.axis : fact.axis;
  const made = element("div", {}, element("h3", {}, shortened(fact.title, 200)));
  if (fact.formula && fact.formula !== fact.title) made.append(element("p", {}, element("code", {}, fact.formula)));
  made.append(element("p", { class: "quiet" }, `${fact.kind}${numberOf(fact)}, `, shapeText(fact.shape, axis)));
  return made;
}

/** The edges by which gradients reach a parameter, from all the places where it is used. */
const uses = new Map();
for (const edge of data.edges) {
  if (!edge.carries) continue;
  const leaf = ofLeaf(edge.source);
  if (!uses.has(leaf)) uses.set(leaf, []);
  uses.get(leaf).push(edge);
}

/** What one example contributes to a parameter over all uses; null where the numbers are not here. */
function contributionTo(parameter, example) {
  const sums = (uses.get(parameter) || []).filter((edge) => edge.sum);
  if (!sums.length || !growth.get(parameter).length || sums.some((edge) => !edge.contributions)) return null;
  const parts = sums.map((edge) => partOf(edge.contributions, example));
  if (parts.length === 1) return parts[0];
  if (parts.some((part) => part.numbers === null)) return null;
  return described(parts[0].shape, parts[0].numbers.map((_, k) => parts.reduce((sum, part) => sum + Number(part.numbers[k]), 0)));
}

function boxCard(id) {
  const fact = data.boxes[ofLeaf(id)];
  const made = headOf(fact);
  if (fact.value) made.append(titled("value", fact.value, state.example));
  if (isParameter(id)) {
    const own = state.example === null ? null : contributionTo(ofLeaf(id), state.example);
    if (own) {
      made.append(element("div", { class: "part" }, element("h4", {}, `contribution of example ${state.example}`),
        numbersView(own)));
    }
    made.append(fact.grad ? titled("gradient", fact.grad, null) : element("p", { class: "quiet" }, "no backward yet"));
  } else if (fact.grad) made.append(titled("δ", fact.grad, state.example));
  return made;
}

function clusterCard(id) {
  const { fact, members, operations } = picture.clusters.get(id);
  const titles = [...new Set(members.filter((box) => box.kind === "parameter").map((box) => box.title))];
  const names = titles.slice(0, 8).map((title) => shortened(title, 24)).join(", ") + (titles.length > 8 ? ", …" : "");
  return element("div", {}, element("h3", {}, shortened(fact.title, 200)),
    element("p", { class: "quiet" }, `${fact.kind}, ${operations} operations`),
    ...(titles.length ? [element("p", {}, `parameters: ${names}`)] : []),
    element("p", { class: "quiet" }, `Enter or click ${picture.folded.has(id) ? "unfolds" : "folds"} it`));
}

let carded = null;  // what the card is about

function cardOf(target) {
  const edge = target.classList.contains("edge") ? picture.edges.get(target.id) : null;
  if (edge) return edge.fact.carries ? passedView(edge.fact) : null;
  if (target.dataset.cluster) return clusterCard(target.dataset.cluster);
  return picture.boxes.has(target.id) ? boxCard(target.id) : null;
}

function showCard(target) {
  const content = target ? cardOf(target) : null;
  const card = $("card");
  carded = content ? target : null;
  card.hidden = !content;
  if (!content) return;
  card.replaceChildren(content);
  const anchor = target.classList.contains("cluster") ? target.querySelector("text") || target : target;
  const at = anchor.getBoundingClientRect();
  const left = at.right + 12 + card.offsetWidth < innerWidth ? at.right + 12 : Math.max(8, at.left - 12 - card.offsetWidth);
  card.style.left = `${Math.min(left, innerWidth - card.offsetWidth - 8)}px`;
  card.style.top = `${Math.max(8, Math.min(at.top, innerHeight - card.offsetHeight - 8))}px`;
}

const shownAt = (event) => {
  const target = event.target.closest && event.target.closest(".node, .edge, .folded, .cluster, .button");
  if (target && target.classList.contains("button")) return picture.clusters.get(target.dataset.cluster).g;
  return target;
};

// ---------------------------------------------------------------------------------------------------------- playing

/** By parameter: after which steps its gradient has grown, and to what. */
const growth = new Map(Object.keys(data.boxes).filter((id) => isParameter(id) && !data.boxes[id].stub_of).map((id) => [id, []]));
steps.forEach((step, k) => {
  for (const [id, numbers] of Object.entries(step.gradients || {})) growth.get(id).push({ step: k + 1, numbers });
});
const forwardSteps = steps.filter((step) => step.direction === "forward").length;

function lit(step, on) {
  if (!step) return;
  const backward = step.direction === "backward";
  picture.elementOf(step.box).classList.toggle("now", on);
  picture.elementOf(step.box).classList.toggle("backward", on && backward);
  for (const id of step.edges) {
    const line = picture.drawnAs.get(id);
    if (line) { line.classList.toggle("now", on); line.classList.toggle("backward", on && backward); }
  }
}

/** Boxes whose turn has not come are faded while the slider is on its way. */
function fade() {
  const reached = new Set();
  const backward = state.step > forwardSteps;
  const from = backward ? forwardSteps : 0;
  for (const step of steps.slice(from, state.step)) {
    reached.add(picture.stands.get(step.box));
    for (const id of step.edges) {
      const edge = picture.edges.get(id);
      if (edge) reached.add(picture.stands.get(edge.fact.source));
    }
  }
  const playing = state.step > 0 && state.step < steps.length;
  for (const id of picture.places.keys()) {
    picture.elementOf(id).classList.toggle("later", playing && !reached.has(id));
  }
}

function relight() {
  for (const one of picture.svg.querySelectorAll(".now")) one.classList.remove("now", "backward");
  lit(steps[state.step - 1], true);
  fade();
}

/** Which turns of what is repeated a box belongs to. */
function turnsOf(fact) {
  const repeats = fact.clusters.filter((id) => data.clusters[id].kind === "repeat");
  return repeats.map((id) => element("p", { class: "quiet" },
    `turn ${fact.twins[id] ? fact.twins[id][1] + 1 : 1} of ${data.clusters[id].turns}`));
}

function legend() {
  const words = { parameter: "parameter", data: "data", operation: "operation", folded: "folded part", output: "result" };
  const kinds = new Set(Object.values(data.boxes).map((box) => box.kind));
  if (picture.clusters.size) kinds.add("folded");
  const rows = Object.entries(words).filter(([kind]) => kinds.has(kind)).map(([kind, word]) => [`box ${kind}`, "", word]);
  if (data.examples) rows.push(["line", "", "each example has its own part"]);
  if (data.edges.some((edge) => edge.sum)) rows.push(["badge", "Σ", "backward adds up the examples here"]);
  return element("ul", { class: "legend", "aria-label": "Legend" },
    ...rows.map(([look, sign, word]) => element("li", {}, element("span", { class: look, "aria-hidden": "true" }, sign), word)));
}

function showStep() {
  const step = steps[state.step - 1];
  const made = [];
  if (!step) {
    made.push(element("h2", {}, "Forward, then backward"), element("p", {},
      "Play, or move the slider: forward computes each value from those before it, backward the δ of each value from those after it."),
    element("p", {}, "Choose an example to follow its own numbers. Press ? for help."), legend(),
    ...data.notes.map((note) => element("p", { class: "note" }, note)));
  } else {
    const fact = data.boxes[step.box];
    const backward = step.direction === "backward";
    const number = backward ? state.step - forwardSteps : state.step;
    const of = backward ? steps.length - forwardSteps : forwardSteps;
    made.push(element("h2", { class: step.direction }, `${backward ? "Backward" : "Forward"} ${number} of ${of}`), headOf(fact), ...turnsOf(fact));
    if (backward) {
      if (fact.grad) made.push(titled("δ", fact.grad, state.example));
      const carrying = step.edges.map((id) => edgeOf.get(id)).filter((edge) => edge.carries);
      if (carrying.length) made.push(element("h3", {}, "δ is passed on"));
      carrying.forEach((edge) => made.push(passedView(edge)));
    } else if (fact.value) made.push(titled("value", fact.value, state.example));
  }
  if (state.example !== null) {
    made.splice(1, 0, element("p", { class: "quiet own-numbers" },
      `Here the numbers are those of example ${state.example}; boxes in the picture keep those of all.`));
  }
  $("step").replaceChildren(...made);
  $("step").scrollTop = 0;
}

const toldApart = data.examples > 0 || data.edges.some((edge) => edge.sum);

function showParameters() {
  const rows = [element("h2", {}, "Gradients so far")];
  if (data.gradients_of) rows.push(element("p", { class: "note" }, `gradients are those of ${data.gradients_of}`));
  for (const [id, grown] of growth) {
    const fact = data.boxes[id];
    const all = uses.get(id) || [];
    const arrived = grown.filter(({ step }) => step <= state.step);
    const latest = arrived[arrived.length - 1];
    const done = arrived.length > 0 && arrived.length === grown.length;
    const complete = done && !data.gradients_of && toldApart;
    const used = new Set(steps.slice(forwardSteps, Math.max(state.step, forwardSteps)).flatMap((step) => step.edges));
    const come = all.filter((edge) => used.has(edge.id));
    const count = (edges) => edges.reduce((sum, edge) => sum + edge.uses, 0);
    const sums = come.reduce((sum, edge) => sum + edge.uses * (edge.sum ? edge.sum.count : 1), 0);
    const note = !come.length ? "nothing has arrived"
      : `${count(come)} of ${count(all)} ${count(all) === 1 ? "use" : "uses"}, ${sums} contribution${sums === 1 ? "" : "s"}${complete ? ": complete" : ""}`;
    const row = element("div", { class: "parameter", "data-parameter": id },
      element("h3", {}, shortened(fact.title, 40), " ", shapeText(fact.shape, null)), element("p", { class: "quiet" }, note));
    row.classList.toggle("grows", latest !== undefined && latest.step === state.step);
    row.classList.toggle("complete", complete);
    if (latest) row.append(element("div", { class: "running" }, numbersView(latest.numbers)));
    const own = state.example === null || !done ? null : contributionTo(id, state.example);
    if (own) {
      row.append(element("div", { class: "part own" }, element("h4", {}, `of it, example ${state.example} contributes`), numbersView(own)));
    }
    rows.push(row);
  }
  if (!growth.size) rows.push(element("p", { class: "quiet" }, "There are no parameters here."));
  $("parameters").replaceChildren(...rows);
  const growing = $("parameters").querySelector(".grows");
  if (growing) $("parameters").scrollTop = growing.offsetTop - $("parameters").offsetTop - 40;
}

function go(step) {
  lit(steps[state.step - 1], false);
  state.step = Math.max(0, Math.min(steps.length, step));
  $("slider").value = state.step;
  const now = steps[state.step - 1];
  const text = now ? `${now.direction} ${state.step} / ${steps.length}` : `${steps.length} steps`;
  $("position").textContent = text;
  $("slider").setAttribute("aria-valuetext", now ? `${text}, ${shortened(data.boxes[now.box].title, 60)}` : "start");
  if (now) picture.reveal(now.box);
  relight();
  showStep();
  showParameters();
}

function play(on) {
  if (on === (state.playing !== null)) return;
  if (on) {
    if (state.step >= steps.length) go(0);
    const pause = Math.max(80, Math.min(1100, 90000 / Math.max(1, steps.length)));
    state.playing = setInterval(() => { if (state.step < steps.length) go(state.step + 1); else play(false); }, pause);
  } else {
    clearInterval(state.playing);
    state.playing = null;
  }
  $("play").textContent = on ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
}

// ------------------------------------------------------------------------------------------------- examples, search

function choose(example) {
  const last = data.examples - 1;
  state.example = example === null || Number.isNaN(example) ? null : Math.max(0, Math.min(last, example));
  $("example").value = state.example === null ? "" : state.example;
  $("example-all").setAttribute("aria-pressed", String(state.example === null));
  showStep();
  showParameters();
  if (carded) showCard(carded);
}

const nextExample = (by) => choose(state.example === null ? (by > 0 ? 0 : data.examples - 1) : state.example + by);

function search(text) {
  const wanted = text.trim().toLowerCase();
  const matches = ({ fact }) => [fact.title, fact.formula, fact.op, fact.kind, `#${fact.number}`].some((has) => has && has.toLowerCase().includes(wanted));
  const isTwin = ({ id }) => picture.boxes.has(picture.stands.get(id)) && picture.stands.get(id) !== id;
  const boxes = [...picture.boxes.values()].sort((a, b) => a.fact.order - b.fact.order);
  state.hits = wanted ? boxes.filter((box) => matches(box) && !isTwin(box)).map((box) => box.id) : [];
  state.hit = -1;
  markHits();
}

function markHits() {
  const searching = $("search").value.trim() !== "";
  picture.svg.classList.toggle("searching", searching);
  const shown = new Set(state.hits.map((id) => picture.stands.get(id)));
  for (const one of picture.svg.querySelectorAll(".hit, .found")) one.classList.remove("hit", "found");
  for (const id of shown) picture.elementOf(id).classList.add("hit");
  const current = state.hits[state.hit];
  if (current) picture.elementOf(current).classList.add("found");
  $("hits").textContent = !searching ? "" : state.hit < 0 ? `${state.hits.length} hits` : `${state.hit + 1} of ${state.hits.length}`;
}

function nextHit(by) {
  if (!state.hits.length) return;
  state.hit = (state.hit + by + state.hits.length + (state.hit < 0 && by < 0 ? 1 : 0)) % state.hits.length;
  const id = state.hits[state.hit];
  picture.unfoldAround(id);
  picture.reveal(id, true);
  markHits();
  showCard(picture.elementOf(id));
}

// ----------------------------------------------------------------------------------------------------------- events

picture.onLayout = () => { relight(); markHits(); showCard(null); };

function fold(id) {
  picture.fold(id, !picture.folded.has(id));
  const { g, box } = picture.clusters.get(id);
  const shown = [box, g].find((one) => !one.classList.contains("gone"));
  if (shown) shown.focus({ preventScroll: true });
}

/** The frame, its title, its button or the folded box that a pointer is on. */
function foldable(target) {
  const one = target.closest && target.closest("[data-cluster]");
  if (!one) return null;
  return one.dataset.is !== "frame" || target.tagName === "text" || target.tagName === "tspan" ? one.dataset.cluster : null;
}

let drag = null;
stage.addEventListener("pointerdown", (event) => {
  if (event.button === 0) drag = { x: event.clientX, y: event.clientY, far: false, target: event.target };
});
addEventListener("pointermove", (event) => {
  if (!drag) return;
  const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
  if (!drag.far && Math.hypot(dx, dy) < 4) return;
  if (!drag.far) { drag.far = true; stage.setPointerCapture(event.pointerId); stage.classList.add("dragged"); showCard(null); }
  picture.pan(dx, dy);
  [drag.x, drag.y] = [event.clientX, event.clientY];
});
addEventListener("pointerup", () => {
  if (drag && !drag.far) {
    const id = foldable(drag.target);
    if (id) fold(id);
  }
  drag = null;
  stage.classList.remove("dragged");
});
stage.addEventListener("pointerover", (event) => { if (!drag) showCard(shownAt(event)); });
stage.addEventListener("pointerleave", () => showCard(null));
stage.addEventListener("focusin", (event) => {
  stage.scrollTo(0, 0);
  if (!event.target.matches(":focus-visible")) return;
  if (picture.boxes.has(event.target.id)) picture.reveal(event.target.id, true);
  if (event.target !== stage) showCard(shownAt(event));
});
stage.addEventListener("focusout", () => showCard(null));
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = stage.getBoundingClientRect();
  const lines = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
  picture.zoom(Math.exp(-Math.max(-120, Math.min(120, lines)) * 0.0025), event.clientX - at.left, event.clientY - at.top);
  showCard(null);
}, { passive: false });

const on = (id, event, act) => $(id).addEventListener(event, act);
on("zoom-in", "click", () => picture.zoom(1.25));
on("zoom-out", "click", () => picture.zoom(0.8));
on("fit", "click", () => picture.fit());
on("fold-all", "click", () => picture.foldAll(true));
on("unfold-all", "click", () => picture.foldAll(false));
on("help-button", "click", () => $("help").showModal());
on("play", "click", () => play(state.playing === null));
on("back", "click", () => { play(false); go(state.step - 1); });
on("on", "click", () => { play(false); go(state.step + 1); });
on("slider", "input", () => { play(false); go(Number($("slider").value)); });
on("example", "input", () => choose($("example").value === "" ? null : Math.trunc(Number($("example").value))));
on("example-all", "click", () => choose(null));
on("example-back", "click", () => nextExample(-1));
on("example-on", "click", () => nextExample(1));
on("search", "input", () => search($("search").value));
on("search", "keydown", (event) => {
  if (event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
  if (event.key !== "Escape") return;
  $("search").value = "";
  const current = state.hits[state.hit];
  search("");
  (current ? picture.elementOf(current) : stage).focus();
});

const KEYS = {
  "/": () => { $("search").focus(); $("search").select(); },
  "?": () => $("help").showModal(),
  "+": () => picture.zoom(1.25), "=": () => picture.zoom(1.25), "-": () => picture.zoom(0.8), "0": () => picture.fit(),
  "[": () => data.examples && nextExample(-1), "]": () => data.examples && nextExample(1), a: () => choose(null),
  ",": () => { play(false); go(state.step - 1); }, ".": () => { play(false); go(state.step + 1); },
  " ": () => play(state.playing === null),
  Escape: () => showCard(null),
  ArrowLeft: () => picture.pan(60, 0), ArrowRight: () => picture.pan(-60, 0),
  ArrowUp: () => picture.pan(0, 60), ArrowDown: () => picture.pan(0, -60),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const { target, key } = event;
  const typing = target.tagName === "INPUT" && target.type !== "range";
  if (typing || !(key in KEYS)) {
    const cluster = !typing && key === "Enter" && target.dataset && target.dataset.cluster;
    if (cluster) { event.preventDefault(); fold(cluster); }
    return;
  }
  if (target.type === "range" && key.startsWith("Arrow")) return;  // the slider's own
  if (target.tagName === "BUTTON" && key === " ") return;
  event.preventDefault();
  KEYS[key]();
});

// ------------------------------------------------------------------------------------------------------------ start

document.title = data.title;
$("heading").textContent = data.title;
$("slider").max = steps.length;
$("passes").firstChild.style.flexGrow = forwardSteps;
$("passes").lastChild.style.flexGrow = steps.length - forwardSteps;
$("passes").hidden = $("play").disabled = !steps.length;
$("examples").hidden = !data.examples;
$("folding").hidden = !picture.clusters.size;
if (data.examples) {
  $("example").max = data.examples - 1;
  $("example-count").textContent = `of ${data.examples}`;
}
if (data.examples) choose(data.example);
go(0);
picture.onFit = (whole) => { $("hint").hidden = whole; };
picture.fit(UNREADABLE);
$("help-notes").append(...data.notes.map((note) => element("li", {}, note)));
$("help-notes").hidden = !data.notes.length;
requestAnimationFrame(() => {
  picture.svg.classList.toggle("calm", picture.boxes.size <= 500);  // few enough to glide when frames are folded
  document.body.classList.add("ready");
});
