// Which label a word has, by Bayes' rule, as wavenet/inference/guessing.py computes it.

import { scoreWords } from "./scoring.js";
import { logProbabilities } from "./tree.js";

/**
 * The probability of each label of words that the network knows all characters of, the most probable first, from the
 * words' probabilities under each label and the labels' shares among the training words; stops after each label.
 */
export function* guess(network, vocabulary, labels, words) {
  const total = labels.reduce((sum, { count }) => sum + count, 0);
  const prior = labels.map(({ count }) => Math.log(total ? count / total : 1 / labels.length));
  const logs = words.map(() => [...prior]);
  for (const label of labels.keys()) {
    scoreWords(network, vocabulary, words, label + 1).forEach((score, i) => (logs[i][label] += score.logProbability));
    yield;
  }
  return logs.map((ofWord) => {
    const found = [...logProbabilities(ofWord)].map((log, i) => ({ name: labels[i].name, probability: Math.exp(log) }));
    return found.sort((a, b) => b.probability - a.probability);
  });
}
