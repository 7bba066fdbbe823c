// The view that scores words.

import { $, breather, csv, element, isolated, offerLabels, percent, plural, save, say } from "./elements.js";
import { guess } from "./guessing.js";
import { BOUNDARY } from "./network.js";
import { scoreWords } from "./scoring.js";
import { visible } from "./vocabulary.js";

const MOST = 2000; // words that are scored
const CHUNK = 50; // words at a time, between which the browser may draw
const GUESSED = 10; // words at a time that labels are guessed of
const MOST_LABELS = 5; // of which a word's probability is shown
const SURPRISING = 8; // bits from which on a character has the full colour

export function setUpScoring({ network, vocabulary, labels, name, direction }) {
  let scores = [];
  let run = 0;

  async function update() {
    const number = ++run, pause = breather();
    const lines = $("list").value.split(/\r\n|\r|\n/).map((line) => line.split("\t")[0].trim());
    const words = lines.filter(Boolean);
    const found = [], label = Number($("score-label").value);
    for (let begin = 0; begin < Math.min(words.length, MOST); begin += CHUNK) {
      found.push(...scoreWords(network, vocabulary, words.slice(begin, Math.min(begin + CHUNK, MOST)), label));
      await pause();
      if (number !== run) return;
    }
    scores = found;
    show(words.length);
    if (labels.length) await guessAll(number, pause);
  }

  /** Guesses the labels of the words that are shown, as long as the search is the present one. */
  async function guessAll(number, pause) {
    const known = scores.filter(({ error }) => !error);
    for (let begin = 0; begin < known.length; begin += GUESSED) {
      const chunk = known.slice(begin, begin + GUESSED);
      const guessing = guess(network, vocabulary, labels, chunk.map(({ word }) => word));
      let step = guessing.next();
      for (; !step.done; step = guessing.next()) {
        await pause();
        if (number !== run) return;
      }
      chunk.forEach((score, i) => showGuess(score, step.value[i]));
    }
  }

  function showGuess(score, guessed) {
    score.guessed = guessed;
    const [{ name, probability }] = guessed;
    score.place.replaceChildren(isolated(name), element("span", {}, ` ${percent(probability)}`));
  }

  function show(count) {
    const known = scores.filter(({ error }) => !error);
    const characters = known.reduce((sum, score) => sum + score.characters.length, 0);
    const bits = known.reduce((sum, score) => sum + score.bits * score.characters.length, 0);
    const mean = characters ? `, ${(bits / characters).toFixed(3)} bits per character` : "";
    const limit = count > MOST ? `the first ${MOST.toLocaleString("en")} of ` : "";
    say($("scored"), `${limit}${plural(count, "word")}${mean}`);
    $("save-scores").disabled = !known.length;
    const order = { given: 0, likely: 1, odd: -1 }[$("order").value];
    const sorted = order ? [...scores].sort((a, b) => order * ((a.bits ?? Infinity) - (b.bits ?? Infinity))) : scores;
    $("scores").replaceChildren(...sorted.map((score) => (score.error ? unknown(score) : entry(score))));
  }

  function entry(score) {
    const heat = element("span", { className: "heat" }, ...score.characters.map(heated));
    const bits = element("span", { className: "bits" }, `${score.bits.toFixed(2)} bits`);
    score.place = element("span", { className: "guess" });
    const details = element("details", {}, element("summary", {}, heat, ...(labels.length ? [score.place] : []), bits));
    details.addEventListener("toggle", () => details.append(...kinds(score), table(score)), { once: true });
    return details;
  }

  /** The likeliest labels of a word, once they are guessed. */
  function kinds({ guessed }) {
    if (!guessed) return [];
    const shares = guessed.slice(0, MOST_LABELS).map((each) => `${isolated(each.name)} ${percent(each.probability)}`);
    return [element("p", { className: "hint" }, `Label, as guessed: ${shares.join(", ")}`)];
  }

  /** A character with the colour of its surprise. */
  function heated({ token, bits }) {
    const end = token === BOUNDARY;
    const span = element("span", { className: end ? "end" : "", title: `${bits.toFixed(1)} bits` }, shown(token));
    span.style.backgroundColor = `rgb(var(--warm) / ${Math.min(1, bits / SURPRISING) * 0.7})`;
    return span;
  }

  function table({ characters }) {
    const head = ["", "probability", "bits", "others"].map((text) => element("th", { scope: "col" }, text));
    const rows = characters.map(({ token, probability, bits, alternatives }) => {
      const others = alternatives.map((other) => {
        const className = other.probability > probability ? "" : "less";
        return element("span", { className }, `${isolated(shown(other.token))} ${percent(other.probability)}`);
      });
      const cells = [[shown(token)], [percent(probability)], [bits.toFixed(2)], others];
      return element("tr", {}, ...cells.map((content) => element("td", {}, ...content)));
    });
    return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  }

  function unknown({ word, error }) {
    const text = element("span", { className: "heat" }, word);
    return element("div", { className: "unknown" }, text, element("span", { className: "bits" }, error));
  }

  function shown(token) {
    return token === BOUNDARY ? "end" : visible(vocabulary.decode([token]));
  }

  $("list").dir = direction;
  offerLabels($("score-label"), labels);
  $("guess-help").hidden = !labels.length;
  let waiting;
  $("list").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, 150);
  });
  for (const id of ["order", "score-label"]) $(id).addEventListener("change", update);
  $("save-scores").addEventListener("click", () => {
    const more = labels.length ? ["label", "label_probability"] : [];
    const rows = scores.map(({ word, logProbability, bits, guessed, error }) => {
      const label = more.length ? [guessed?.[0].name ?? "", guessed?.[0].probability.toFixed(4) ?? ""] : [];
      return [word, logProbability?.toFixed(4) ?? "", bits?.toFixed(4) ?? "", ...label, error ?? ""];
    });
    save(`${name}_scores.csv`, "text/csv", csv([["word", "log_prob", "bits_per_character", ...more, "error"], ...rows]));
  });
  return (words) => {
    $("list").value = words.join("\n");
    return update();
  };
}
