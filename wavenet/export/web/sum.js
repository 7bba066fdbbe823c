// How a prediction comes about: what the tree says, and what the row of each n-gram adds to it.

import { element, isolated, percent } from "./elements.js";
import { BOUNDARY } from "./network.js";
import { logProbabilities } from "./tree.js";
import { visible } from "./vocabulary.js";

const NAMED = 3; // characters of each line
const HARDLY = 0.0005; // of a change of probability, which is not worth a number

/**
 * Shows how the prediction after a row comes about: the likeliest characters by the tree alone; n-gram by n-gram, those
 * whose probabilities change most when its logits are added; and the likeliest in the end. No table, nothing to show.
 */
export function showSum(panel, activations, row, vocabulary) {
  const { member, tree } = activations;
  panel.hidden = !member.table;
  if (panel.hidden) return;
  const tokens = tree.lastTokens(row, member.table.longest);
  const logits = activations.alone(row);
  let probabilities = logProbabilities(logits).map(Math.exp);
  const lines = [line("tree", likeliest(probabilities))];
  activations.lookUp(row).forEach((said, i, all) => {
    const ngram = tokens.slice(0, tokens.length - all.length + 1 + i).reverse();
    said.forEach((logit, token) => (logits[token] += logit));
    const before = probabilities;
    probabilities = logProbabilities(logits).map(Math.exp);
    lines.push(line(["+ ", element("b", {}, isolated(ngram.map(letter).join("")))], changes(before, probabilities)));
  });
  lines.push(line(tree.members.length > 1 ? "= this network" : "= prediction", likeliest(probabilities)));
  panel.querySelector("tbody").replaceChildren(...lines);

  function line(head, parts) {
    const spans = parts.map((text) => element("span", {}, text));
    return element("tr", {}, element("th", { scope: "row" }, ...[head].flat()), element("td", {}, ...spans));
  }

  function letter(token) {
    return token === BOUNDARY ? "·" : visible(vocabulary.decode([token]));
  }

  function name(token) {
    return token === BOUNDARY ? "end" : isolated(letter(token));
  }

  function likeliest(values) {
    return greatest(values).map((token) => `${name(token)} ${percent(values[token])}`);
  }

  function changes(before, after) {
    const change = after.map((probability, token) => probability - before[token]);
    const named = greatest(change.map(Math.abs)).filter((token) => Math.abs(change[token]) >= HARDLY);
    const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;
    return named.length ? named.map((token) => `${name(token)} ${points(change[token])}`) : ["hardly anything"];
  }
}

function greatest(values) {
  return [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, NAMED);
}
