/* Where things go when some of the picture is hidden: the empty bands are closed, no layout is made anew.

   x and y are each moved by a map that only grows.  It has slope 1 wherever something that is shown stands, so that
   boxes keep their form and their order and never come to overlap; a band that nothing covers becomes as wide as the
   widest band that was empty there in the whole picture. */

const LEAST_BAND = 8;

/** Intervals as a sorted list of disjoint ones. */
function merged(intervals) {
  const sorted = intervals.slice().sort((a, b) => a[0] - b[0]);
  const spans = [];
  for (const [from, to] of sorted) {
    const last = spans[spans.length - 1];
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else spans.push([from, to]);
  }
  return spans;
}

/** The bands between disjoint sorted intervals. */
function between(spans) {
  return spans.slice(1).map((span, k) => [spans[k][1], span[0]]);
}

/** The map of one coordinate that keeps the spans and closes the bands between them; `before`: the bands of old. */
function closing(spans, before) {
  const knots = [];  // [old, new] at the start of each span; new - old is the shift of the whole span
  let shift = 0, next = 0;
  spans.forEach(([from], k) => {
    if (k) {
      const start = spans[k - 1][1];
      let widest = LEAST_BAND;
      while (next < before.length && before[next][1] <= start) next++;
      for (let j = next; j < before.length && before[j][0] < from; j++) {
        widest = Math.max(widest, Math.min(before[j][1], from) - Math.max(before[j][0], start));
      }
      shift -= Math.max(0, from - start - widest);
    }
    knots.push([from, from + shift]);
  });
  return (at) => {
    let low = 0, high = knots.length - 1;
    if (high < 0) return at;
    while (low < high) {  // the last span that starts at or before `at`
      const middle = (low + high + 1) >> 1;
      if (knots[middle][0] <= at) low = middle; else high = middle - 1;
    }
    const [from, moved] = knots[low];
    const end = spans[low][1];
    if (at < from) return moved - Math.min(from - at, LEAST_BAND);  // before all that is shown
    if (at <= end) return moved + (at - from);
    const newEnd = moved + (end - from);
    if (low === knots.length - 1) return newEnd + Math.min(at - end, LEAST_BAND);
    const share = (at - end) / (spans[low + 1][0] - end);
    return newEnd + share * (knots[low + 1][1] - newEnd);
  };
}

const PAIR = /(-?[\d.]+(?:e[-+]?\d+)?)[ ,](-?[\d.]+(?:e[-+]?\d+)?)/g;

/** A path or a list of points with both coordinates mapped. */
function mappedPoints(text, mapX, mapY) {
  return text.replace(PAIR, (_, x, y) => `${mapX(+x).toFixed(2)},${mapY(+y).toFixed(2)}`);
}

/** The points of an SVG path of cubic curves, six to a curve. */
function flattened(path) {
  const corners = [...path.matchAll(PAIR)].map((pair) => [+pair[1], +pair[2]]);
  const points = corners.slice(0, 1);
  for (let k = 0; k + 3 < corners.length; k += 3) {
    const [a, b, c, d] = corners.slice(k, k + 4);
    for (let t = 1; t <= 6; t++) {
      const u = t / 6, v = 1 - u;
      const at = (i) => v * v * v * a[i] + 3 * v * v * u * b[i] + 3 * v * u * u * c[i] + u * u * u * d[i];
      points.push([at(0), at(1)]);
    }
  }
  return points;
}

const middleOf = (rect) => [(rect.x0 + rect.x1) / 2, (rect.y0 + rect.y1) / 2];
const holds = (rect, [x, y]) => x >= rect.x0 && x <= rect.x1 && y >= rect.y0 && y <= rect.y1;

/** Where the line from the middle of a box towards a point leaves the box. */
function borderPoint(rect, [x, y]) {
  const [cx, cy] = middleOf(rect);
  const dx = x - cx, dy = y - cy;
  const scale = Math.min((rect.x1 - cx) / (Math.abs(dx) || 1e-9), (rect.y1 - cy) / (Math.abs(dy) || 1e-9), 1);
  return [cx + dx * scale, cy + dy * scale];
}

/** Whether a line from one point to another passes through a rectangle. */
function crosses(rect, [x, y], [toX, toY]) {
  let from = 0, to = 1;  // the part of the line that is inside, as shares of its length
  for (const [start, way, low, high] of [[x, toX - x, rect.x0, rect.x1], [y, toY - y, rect.y0, rect.y1]]) {
    if (way === 0) {
      if (start < low || start > high) return false;
      continue;
    }
    const [a, b] = [(low - start) / way, (high - start) / way];
    from = Math.max(from, Math.min(a, b));
    to = Math.min(to, Math.max(a, b));
  }
  return from <= to;
}

/** A path along points, its corners rounded. */
function smooth(points) {
  const text = ([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`;
  const half = ([a, b], [c, d]) => [(a + c) / 2, (b + d) / 2];
  const bends = points.slice(1, -1).map((point, k) => {
    const last = k === points.length - 3;
    return `Q${text(point)} ${text(last ? points[k + 2] : half(point, points[k + 2]))}`;
  });
  return `M${text(points[0])} ${bends.length ? bends.join(" ") : `L${text(points[1])}`}`;
}
