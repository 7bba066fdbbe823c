// The view that makes words.

import { $, breather, csv, element, neighbour, offerLabels, plural, roving, save, say } from "./elements.js";
import { Wanted } from "./patterns.js";
import { Sampler } from "./sampling.js";
import { scoreWords } from "./scoring.js";

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
    const wanted = Number($("number").value), found = [], begin = performance.now();
    $("stop").disabled = false;
    for (const _ of sampler.draw(wanted, found)) {
      await pause();
      if (mine.isStopped || mine !== search) break;
      if (performance.now() - begin > 500) say($("made"), `${plural(found.length, "word")} in ${plural(sampler.draws, "draw")} …`);
    }
    if (mine !== search) return;
    $("stop").disabled = true;
    show(found, `${plural(found.length, "word")}${reason(mine, sampler, found.length < wanted)} · seed ${seed}`);
  }

  /** Why there are too few words, if there are. */
  function reason({ isStopped }, { exhausted }, isShort) {
    if (!isShort) return "";
    if (isStopped) return "; stopped";
    return exhausted ? "; there are no more" : "; more hardly ever come";
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

  function show(found, text, isProblem) {
    words = found;
    say($("made"), text, isProblem);
    for (const id of ["copy", "save-text", "save-csv"]) $(id).disabled = !words.length;
    $("words").replaceChildren(...words.map((word, i) => {
      const button = element("button", { type: "button", tabIndex: i ? -1 : 0 }, word);
      return element("li", {}, button);
    }));
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
