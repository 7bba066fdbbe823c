// The view that looks inside: the tree over what has been read, from the characters to the next one's probabilities.

import { $, element, isolated, neighbour, offerLabels, percent, roving, say } from "./elements.js";
import { ANY, BOUNDARY } from "./network.js";
import { strip } from "./strip.js";
import { showSum } from "./sum.js";
import { Tree, logProbabilities } from "./tree.js";
import { visible } from "./vocabulary.js";

const MOST_BARS = 32; // characters; of more, the likeliest are shown
const SVG = "http://www.w3.org/2000/svg";

export function setUpLooking({ network, vocabulary, labels, direction }) {
  const input = $("word");
  let nodes = [], forks = []; // [level][place]: the elements of the tree, level 0 being the characters
  let levels; // of the network whose tree is shown, one of an ensemble's
  let seen; // what is shown, so that it is not drawn twice
  let summary = ""; // what is said of it

  /** The tokens up to the cursor, and the one after it; characters that the network does not know end the word. */
  function read() {
    const text = input.value, cursor = input.selectionStart ?? text.length;
    const before = vocabulary.encode(text.slice(0, cursor));
    const [following] = [...text.slice(cursor).normalize("NFC")];
    return { before, next: following === undefined ? BOUNDARY : vocabulary.tokens.get(following) };
  }

  function update() {
    let word;
    try {
      word = read();
    } catch (error) {
      seen = undefined;
      say($("reading"), error.message[0].toUpperCase() + error.message.slice(1) + ".", true);
      return;
    }
    const number = Number($("member").value), label = Number($("look-label").value);
    const what = JSON.stringify([word, input.value.length, number, label]);
    if (what === seen) return;
    seen = what;
    const tree = new Tree(network, label);
    const row = tree.find(word.before);
    levels = network.members[number].levels;
    showTree(tree.members[number], row, word.before);
    showSum($("sum"), tree.members[number], row, vocabulary);
    showBars(tree, row, word);
  }

  function showBars(tree, row, { before, next }) {
    const probabilities = logProbabilities(tree.logits.row(row)).map(Math.exp);
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    const shown = order.slice(0, MOST_BARS).sort((a, b) => a - b);
    const highest = probabilities[order[0]];
    const likeliest = order.slice(0, 3).map((token) => `${name(token)} ${percent(probabilities[token])}`).join(", ");
    const rest = shown.length < order.length ? `; the ${MOST_BARS} likeliest of ${order.length.toLocaleString("en")} are shown` : "";
    summary = `After ${before.length ? `“${isolated(vocabulary.decode(before))}”` : "nothing"}: ${likeliest}${rest}`;
    say($("reading"), summary);
    const isAtEnd = input.selectionStart === input.value.length;
    $("bars").replaceChildren(...shown.map((token, i) => {
      const bar = element("i"), label = `${name(token)} ${percent(probabilities[token])}`;
      bar.style.height = `${(100 * probabilities[token]) / highest}%`;
      const letter = element("b", {}, token === BOUNDARY ? "·" : visible(vocabulary.decode([token])));
      const made = element(token === BOUNDARY ? "span" : "button", { title: label }, bar, letter);
      made.setAttribute("aria-label", label);
      if (token === BOUNDARY) made.setAttribute("role", "img");
      else Object.assign(made, { type: "button", value: token, tabIndex: i > 1 ? -1 : 0 });
      made.classList.toggle("is-next", !isAtEnd && token === next);
      return made;
    }));
  }

  function name(token) {
    return token === BOUNDARY ? "end of the word" : isolated(visible(vocabulary.decode([token])));
  }

  function showTree(tree, row, before) {
    const size = tree.member.blockSize;
    const context = [...Array(size).fill(BOUNDARY), ...before].slice(-size);
    nodes = [], forks = [];
    $("tree").style.gridTemplateColumns = `repeat(${size}, minmax(20px, 1fr))`;
    for (let level = 0; level <= levels.length; level++) {
      const rows = tree.nodes(row, level), span = size / rows.length;
      const values = rows.map((number) => tree.outputs[level].row(number));
      const most = Math.max(...values.map((strip) => strip.reduce((high, x) => Math.max(high, Math.abs(x)), 0)));
      nodes[level] = rows.map((_, place) => {
        const made = element("button", { type: "button", className: "node", tabIndex: -1 }, strip(values[place], span, most));
        made.setAttribute("aria-label", describe(level, context.slice(place * span, (place + 1) * span)));
        made.dataset.level = level;
        made.dataset.place = place;
        made.style.gridColumn = `span ${span}`;
        if (level === 0) made.append(letter(context[place]));
        return made;
      });
      forks[level] = level ? rows.map(() => fork(levels[level - 1], span)) : [];
    }
    nodes.at(-1)[0].tabIndex = 0;
    $("tree").replaceChildren(...nodes.map((row, level) => [...row, ...forks[level]]).reverse().flat());
    showNewest();
    trace();
  }

  /** Scrolls to the newest characters, where not all fit. */
  function showNewest() {
    $("tree").scrollLeft = (direction === "rtl" ? -1 : 1) * $("tree").scrollWidth;
  }

  function letter(token) {
    const className = token === BOUNDARY ? "letter none" : "letter";
    return element("span", { className }, token === BOUNDARY ? "·" : visible(vocabulary.decode([token])));
  }

  function describe(level, tokens) {
    const characters = tokens.filter((token) => token !== BOUNDARY);
    const what = characters.length ? `“${isolated(vocabulary.decode(characters))}”` : "nothing, before the word";
    return level ? `Level ${level} has read ${what}` : `The character ${what}`;
  }

  /** Lines from a node to those that it joins; the newest one is thick if the node keeps it and adds to it. */
  function fork({ group, layers }, span) {
    const lines = document.createElementNS(SVG, "svg");
    lines.setAttribute("viewBox", "0 0 100 10");
    lines.setAttribute("preserveAspectRatio", "none");
    lines.setAttribute("class", "fork");
    lines.style.gridColumn = `span ${span}`;
    for (let child = 0; child < group; child++) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", `M50 0V5H${(100 * (child + 0.5)) / group}V10`);
      if (child === group - 1 && layers[0]?.kind === "residual") path.setAttribute("class", "kept");
      lines.append(path);
    }
    return lines;
  }

  /** Lights up a node with all that it depends on, or everything. */
  function trace(node) {
    for (const lit of $("tree").querySelectorAll(".is-lit")) lit.classList.remove("is-lit");
    $("tree").classList.toggle("is-traced", Boolean(node));
    if (!node) return;
    let [first, last] = [Number(node.dataset.place), Number(node.dataset.place)];
    for (let level = Number(node.dataset.level); level >= 0; level--) {
      const below = [...nodes[level].slice(first, last + 1), ...forks[level].slice(first, last + 1)];
      for (const lit of below) lit.classList.add("is-lit");
      const { group } = levels[level - 1] ?? { group: 1 };
      [first, last] = [first * group, (last + 1) * group - 1];
    }
    say($("reading"), `${node.getAttribute("aria-label")}.`);
  }

  function untrace() {
    trace();
    say($("reading"), summary);
  }

  /** The node that an arrow key goes to: up to what joins a node, down to the newest of what it joins, or beside it. */
  function nextNode(present, key) {
    const level = Number(present.dataset.level), place = Number(present.dataset.place);
    if (key === "ArrowUp") return nodes[level + 1]?.[Math.floor(place / levels[level].group)];
    if (key === "ArrowDown") return level ? nodes[level - 1][(place + 1) * levels[level - 1].group - 1] : undefined;
    return neighbour(present, key, nodes[level]);
  }

  function moveTo(cursor) {
    input.setSelectionRange(cursor, cursor);
    update();
  }

  function step(by) {
    const characters = [...input.value];
    const done = [...input.value.slice(0, input.selectionStart)].length + by;
    moveTo(characters.slice(0, Math.max(0, Math.min(done, characters.length))).join("").length);
  }

  function add(token) {
    const character = vocabulary.decode([token]), cursor = input.selectionStart;
    input.setRangeText(character, cursor, cursor, "end");
    moveTo(cursor + character.length);
    $("bars").querySelector(`[value="${token}"]`)?.focus();
  }

  for (const part of [$("tree"), $("bars"), document.querySelector(".stepper")]) part.dir = direction;
  for (const event of ["input", "keyup", "click", "focus", "select"]) input.addEventListener(event, update);
  document.addEventListener("selectionchange", () => document.activeElement === input && update());
  $("back").addEventListener("click", () => step(-1));
  $("on").addEventListener("click", () => step(1));
  $("bars").addEventListener("click", (event) => {
    const bar = event.target.closest("button");
    if (bar) add(Number(bar.value));
  });
  roving($("bars"), "button", neighbour);
  roving($("tree"), ".node", nextNode);
  for (const event of ["mouseover", "focusin"]) {
    $("tree").addEventListener(event, ({ target }) => target.closest(".node") && trace(target.closest(".node")));
  }
  $("tree").addEventListener("mouseleave", () => {
    const present = document.activeElement.closest("#tree .node");
    present ? trace(present) : untrace();
  });
  $("tree").addEventListener("focusout", ({ relatedTarget }) => $("tree").contains(relatedTarget) || untrace());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    seen = undefined; // the colours are others
    update();
  });
  new ResizeObserver(showNewest).observe($("tree"));
  offerLabels($("look-label"), labels);
  const { members } = network;
  $("member").append(...members.map((_, i) => element("option", { value: i }, `${i + 1} of ${members.length}`)));
  $("member").closest("label").hidden = members.length === 1;
  for (const id of ["look-label", "member"]) $(id).addEventListener("change", update);
  $("levels").textContent = legend(members[0]);
  return (word, label = ANY) => {
    input.value = word;
    $("look-label").value = label;
    moveTo(word.length);
  };
}

/** What the levels of a network do, in words. */
function legend({ levels }) {
  const inside = levels.flatMap(({ layers }) => layers.flatMap((layer) => [layer, ...(layer.layers ?? [])]));
  const kinds = new Set(inside.map(({ kind }) => kind));
  const joins = [...new Set(levels.map(({ group }) => group))].join(" or ");
  const parts = [`Each node joins the ${joins} below it`];
  if (kinds.has("gate")) parts.push("a gate decides what passes");
  if (kinds.has("residual")) parts.push("where a line is thick, it adds what it finds to what comes along it");
  return `${parts.join("; ")}.`;
}
