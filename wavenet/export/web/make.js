// The view that makes words.

import { $, breather, csv, element, neighbour, offerLabels, plural, roving, save, say } from "./elements.js";
import { Wanted } from "./patterns.js";
import { Sampler } from "./sampling.js";
import { scoreWords } from "./scoring.js";

const RARE = 10; // draws a word, from which on it is said how many they are
const NEWS = 500; // milliseconds after which, again and again, the words so far are shown

export function setUpMaking({ network, vocabulary, labels, known, maxLength, name, direction }, lookInside) {
  let words = [], label; // what is shown, and the label that it was made with
  let search; // the present one; another one, or the stop button, ends it

  $("longest").value = maxLength;
  $("longest").max = $("shortest").max = Math.max(200, maxLength);
  $("only-new-field").hidden = $("only-new-help").hidden = !known;
  $("words").dir = direction;
  offerLabels($("label"), labels);

  async function make() {
    const mine = (search = { isStopped: false }), pause = breather();
    const seed = $("seed").value === "" ? anySeed() : Number($("seed").value);
    let sampler;
    try {
      sampler = samplerFor(seed);
    } catch (error) {
      show([], error.message[0].toUpperCase() + error.message.slice(1) + ".", true);
      return;
    }
    const wanted = Number($("number").value), found = [];
    let shown = performance.now();
    $("stop").disabled = false;
    for (const _ of sampler.draw(wanted, found)) {
      await pause();
      if (mine.isStopped || mine !== search) break;
      if (performance.now() - shown < NEWS) continue;
      show(found, `${rate(found, sampler)} …`);
      shown = performance.now();
    }
    if (mine !== search) return;
    $("stop").disabled = true;
    show(found, `${rate(found, sampler)}${reason(mine, sampler, found.length < wanted)} · seed ${seed}`);
  }

  /** How many words there are and, if they come rarely, how rarely. */
  function rate({ length }, { draws }) {
    const words = plural(length, "word");
    if (!length) return draws ? `${words} in ${plural(draws, "draw")}` : words;
    return draws < RARE * length ? words : `${words}, one in ${plural(Math.round(draws / length), "draw")}`;
  }

  /** Why there are too few words, if there are. */
  function reason({ isStopped }, { exhausted }, isShort) {
    if (!isShort) return "";
    if (isStopped) return "; stopped";
    return exhausted ? "; there are no more" : "; the search ends here";
  }

  function samplerFor(seed) {
    label = Number($("label").value);
    const wanted = new Wanted(vocabulary, {
      prefix: $("prefix").value,
      pattern: $("pattern").value || "*",
      minLength: Number($("shortest").value),
      maxLength: Number($("longest").value),
    });
    return new Sampler(network, vocabulary, wanted, {
      label,
      temperature: Number($("temperature").value),
      topP: Number($("top-p").value),
      unique: $("unique").checked,
      known: $("only-new").checked ? known : null,
      seed,
    });
  }

  /** Shows words, and says something of them; of words that go on like those that are shown, only the rest is new. */
  function show(found, text, isProblem) {
    const goesOn = words.every((word, i) => word === found[i]);
    if (!goesOn) $("words").replaceChildren();
    const more = found.slice(goesOn ? words.length : 0).map((word) => {
      return element("li", {}, element("button", { type: "button", tabIndex: -1 }, word));
    });
    $("words").append(...more);
    if (more.length === found.length && more.length) more[0].firstChild.tabIndex = 0;
    words = [...found];
    say($("made"), text, isProblem);
    for (const id of ["copy", "save-text", "save-csv"]) $(id).disabled = !words.length;
  }

  $("wanted").addEventListener("submit", (event) => {
    event.preventDefault();
    make();
  });
  $("stop").addEventListener("click", () => (search.isStopped = true));
  for (const id of ["temperature", "top-p"]) {
    $(id).addEventListener("input", () => ($(`${id}-value`).textContent = Number($(id).value).toFixed(2)));
  }
  $("words").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) lookInside(button.textContent, label);
  });
  roving($("words"), "button", neighbour);
  $("copy").addEventListener("click", () => copy(words.join("\n")));
  $("save-text").addEventListener("click", () => save(`${name}.txt`, "text/plain", words.join("\n") + "\n"));
  $("save-csv").addEventListener("click", () => {
    const scores = scoreWords(network, vocabulary, words, label);
    const rows = scores.map((score) => [score.word, score.logProbability.toFixed(4), score.bits.toFixed(4)]);
    save(`${name}.csv`, "text/csv", csv([["word", "log_prob", "bits_per_character"], ...rows]));
  });
  return make();
}

function anySeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // where the browser keeps the clipboard from pages that were opened from a disk
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    $("copy").focus();
  }
  const label = $("copy").textContent;
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = label), 1500);
}
