// What the three views share: elements, files to save, and time for the browser to draw.

export const $ = (id) => document.getElementById(id);

/** A new element with properties and content; text stays text, whatever it holds. */
export function element(name, properties = {}, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

/** Says something in a line that screen readers follow; problems look like ones. */
export function say(line, text, isProblem = false) {
  line.textContent = text;
  line.classList.toggle("bad", isProblem);
}

/** Saves a text as a file. */
export function save(name, type, text) {
  const link = element("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function csv(rows) {
  const quoted = (value) => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  return rows.map((row) => row.map(quoted).join(",") + "\n").join("");
}

/** Lets the browser draw and listen, if that has not been for a while. */
export function breather(milliseconds = 30) {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < milliseconds) return;
    await new Promise((resolve) => setTimeout(resolve));
    last = performance.now();
  };
}

/** Arrow keys go from one of some elements to another; only the present one is on the way of the Tab key. */
export function roving(container, selector, move) {
  container.addEventListener("keydown", (event) => {
    const present = event.target.closest(selector);
    const next = present && move(present, event.key, [...container.querySelectorAll(selector)]);
    if (!next) return;
    event.preventDefault();
    present.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

/** The neighbour in a list that an arrow key means. */
export function neighbour(present, key, all) {
  const isReversed = getComputedStyle(present).direction === "rtl";
  const steps = { ArrowRight: isReversed ? -1 : 1, ArrowLeft: isReversed ? 1 : -1, ArrowDown: 1, ArrowUp: -1 };
  if (key === "Home") return all[0];
  if (key === "End") return all.at(-1);
  return key in steps ? all[all.indexOf(present) + steps[key]] : undefined;
}

/** A text that keeps its own direction, so that what stands beside it stays where it is. */
export const isolated = (text) => `\u2068${text}\u2069`;

export const percent = (probability) => `${(100 * probability).toFixed(probability < 0.1 ? 1 : 0)} %`;

export const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** Offers labels in a select, whose values are their ids; its field is hidden where there are none. */
export function offerLabels(select, labels) {
  select.append(...labels.map(({ name }, i) => element("option", { value: i + 1 }, name)));
  select.closest("label").hidden = !labels.length;
}
