"use strict";

/* Numbers, and the small pieces of the page that show them.

   Arrays come as {shape, axis, min, max, mean, norm, numbers, each}: `axis` is that of the examples or null, `numbers`
   the flat array or null where there are too many, `each` the norm of each example's part or null. */

const LARGEST_TABLE = 80;

/** An element with attributes and children; strings become text, never markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A number with four significant digits. */
function digits(value) {
  if (value === null) return "–";
  const number = Number(value);
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf";
  const text = number.toPrecision(4);
  if (text.includes("e")) return text.replace(/\.?0+e/, "e");
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

const product = (lengths) => lengths.reduce((a, b) => a * b, 1);

/** A flat array with its statistics. */
function described(shape, numbers) {
  const values = numbers.map(Number);
  return {
    shape, numbers, axis: null, each: null,
    min: values.length ? Math.min(...values) : null,
    max: values.length ? Math.max(...values) : null,
    mean: values.length ? values.reduce((a, b) => a + b, 0) / values.length : null,
    norm: Math.hypot(...values),
  };
}

/** One example's part of an array; an array without an axis of examples is nobody's own. */
function partOf(array, example) {
  const { shape, axis } = array;
  const rest = shape.filter((_, k) => k !== axis);
  if (array.numbers === null) {
    const norm = array.each ? array.each[example] : null;
    return { shape: rest, axis: null, numbers: null, each: null, min: null, max: null, mean: null, norm };
  }
  const inner = product(shape.slice(axis + 1));
  return described(rest, array.numbers.filter((_, k) => Math.floor(k / inner) % shape[axis] === example));
}

/** The sum of the parts of the examples up to and including the last one; null where the numbers are not here. */
function sumUpTo(array, last) {
  if (array.numbers === null) return null;
  const sum = partOf(array, 0).numbers.map(Number);
  for (let example = 1; example <= last; example++) {
    partOf(array, example).numbers.forEach((value, k) => { sum[k] += Number(value); });
  }
  return described(array.shape.filter((_, k) => k !== array.axis), sum);
}

/** A shape, its axis of examples marked. */
function shapeText(shape, axis) {
  if (!shape.length) return element("span", { class: "shape" }, "scalar");
  const parts = shape.flatMap((length, k) => [
    k ? ", " : "(",
    k === axis ? element("b", { class: "examples", title: "the axis of examples" }, `m=${length}`) : String(length),
  ]);
  return element("span", { class: "shape" }, ...parts, shape.length === 1 ? ",)" : ")");
}

/** The numbers themselves where they are few, else their statistics. */
function numbersView(array) {
  const { shape, axis, numbers } = array;
  if (numbers !== null && shape.length <= 2 && numbers.length && numbers.length <= LARGEST_TABLE) {
    if (!shape.length) return element("span", { class: "number" }, digits(numbers[0]));
    const columns = shape.length === 2 ? shape[1] : axis === 0 ? 1 : shape[0];
    if (columns <= 10) return table(array, columns);
  }
  const names = ["min", "max", "mean", "norm"].filter((name) => array[name] !== null);
  if (!names.length) return element("p", { class: "quiet" }, "no numbers");
  const parts = names.map((name) => element("div", {}, element("dt", {}, name), " ", element("dd", {}, digits(array[name]))));
  return element("dl", { class: "statistics" }, ...parts);
}

function table({ shape, axis, numbers }, columns) {
  const made = element("table", { class: "numbers" });
  if (axis === 1) {
    const heads = Array.from({ length: columns }, (_, k) => element("th", { scope: "col" }, String(k)));
    made.append(element("tr", { title: "examples" }, ...heads));
  }
  for (let start = 0; start < numbers.length; start += columns) {
    const head = axis === 0 ? element("th", { scope: "row", title: "example" }, String(start / columns)) : null;
    const cells = numbers.slice(start, start + columns).map((value) => element("td", {}, digits(value)));
    made.append(element("tr", {}, head, ...cells));
  }
  return made;
}

/** The norms of the examples' parts as bars, the chosen one marked. */
function bars(norms, chosen) {
  const longest = Math.max(...norms.map(Number).filter(Number.isFinite), Number.MIN_VALUE);
  const shown = norms.slice(0, 64);
  const rows = shown.map((norm, example) => {
    const bar = element("span", { class: "bar" });
    bar.style.width = `${Math.round(100 * Math.min(1, (Number(norm) || 0) / longest))}px`;
    return element("tr", example === chosen ? { class: "chosen" } : {},
      element("th", { scope: "row" }, String(example)), element("td", {}, digits(norm)), element("td", {}, bar));
  });
  const more = norms.length > shown.length ? [element("caption", {}, `and ${norms.length - shown.length} more`)] : [];
  return element("table", { class: "bars", title: "norm of what each example contributes" }, ...more, ...rows);
}

/** A heading with what it is about: the part of the chosen example (null: of all). */
function titled(title, array, example) {
  const own = example !== null && array.axis !== null;
  const about = own ? `${title}, example ${example}` : title;
  return element("div", { class: "part" }, element("h4", {}, about), numbersView(own ? partOf(array, example) : array));
}
