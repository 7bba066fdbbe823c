// How probable words are, character by character, as wavenet/inference/scoring.py computes it.

import { ANY, BOUNDARY } from "./network.js";
import { Tree, logProbabilities } from "./tree.js";

const ALTERNATIVES = 3;

/** Scores words that begin alike together. A word with an unknown character has an `error` in place of its scores. */
export function scoreWords(network, vocabulary, words, label = ANY) {
  const tree = new Tree(network, label);
  const encoded = words.map((word) => attempt(() => vocabulary.encode(word)));
  tree.insert(encoded.flatMap(({ value }) => (value ? [value] : [])));
  return words.map((word, i) => ({ word, ...(encoded[i].error ? encoded[i] : scoreTokens(tree, encoded[i].value)) }));
}

/** The bits of each token and of all, and the tokens that were the likeliest others. */
function scoreTokens(tree, tokens) {
  let row = 0, logProbability = 0;
  const characters = [...tokens, BOUNDARY].map((token) => {
    const logs = logProbabilities(tree.logits.row(row));
    const others = [...logs.keys()].filter((other) => other !== token).sort((a, b) => logs[b] - logs[a]);
    logProbability += logs[token];
    row = tree.child(row, token) ?? row;
    return {
      token,
      bits: -logs[token] / Math.LN2,
      probability: Math.exp(logs[token]),
      alternatives: others.slice(0, ALTERNATIVES).map((other) => ({ token: other, probability: Math.exp(logs[other]) })),
    };
  });
  return { characters, logProbability, bits: -logProbability / Math.LN2 / characters.length };
}

function attempt(compute) {
  try {
    return { value: compute() };
  } catch (error) {
    return { error: error.message };
  }
}
