// The network over words as one tree of their beginnings, in which each beginning is computed once, for all words that
// begin alike. It is the sliding form of wavenet/network/sliding.py: each level joins a row with those before it.

import { BOUNDARY, run } from "./network.js";

/** Rows of equally many numbers, in one array that grows. */
class Rows {
  constructor(kind, width) {
    this.kind = kind;
    this.width = width;
    this.values = new kind(64 * width);
  }

  /** Makes room for so many rows. */
  reserve(rows) {
    if (rows * this.width <= this.values.length) return;
    const larger = new this.kind(Math.max(rows * this.width, 2 * this.values.length));
    larger.set(this.values);
    this.values = larger;
  }

  row(number) {
    return this.values.subarray(number * this.width, (number + 1) * this.width);
  }
}

/** Row 0 is the boundary, which comes before itself; every other row is a beginning of a word. */
export class Tree {
  constructor(network) {
    this.network = network;
    this.size = 0;
    this.tokens = new Rows(Int32Array, 1);
    this.back = network.levels.map(() => new Rows(Int32Array, 1)); // for each level, the row one of its steps before
    this.outputs = [network.width, ...network.levels.map((level) => level.width)].map((w) => new Rows(Float32Array, w));
    this.logits = new Rows(Float32Array, network.vocabSize);
    this.children = new Map();
    this.add([[0, BOUNDARY]]);
  }

  /** The numbers that each row takes. */
  static width(network) {
    return network.width + network.levels.reduce((sum, level) => sum + level.width, network.vocabSize);
  }

  /** The row that is one token longer than another, or undefined. */
  child(row, token) {
    return this.children.get(row * this.network.vocabSize + token);
  }

  /** The row of a word without its end, with all rows on the way to it. */
  find(tokens) {
    this.insert([tokens]);
    return tokens.reduce((row, token) => this.child(row, token), 0);
  }

  /** Adds the rows of words, all at once. */
  insert(words) {
    const added = [];
    for (const tokens of words) {
      let row = 0;
      for (const token of tokens) {
        const key = row * this.network.vocabSize + token;
        if (!this.children.has(key)) {
          this.children.set(key, this.size + added.length);
          added.push([row, token]);
        }
        row = this.children.get(key);
      }
    }
    this.add(added);
  }

  /** Adds rows, given as the row before each, which may be among them, and its token; computes them level by level. */
  add(added) {
    if (!added.length) return;
    const first = this.size, { levels, head } = this.network;
    this.size += added.length;
    for (const rows of [this.tokens, this.logits, ...this.back, ...this.outputs]) rows.reserve(this.size);
    added.forEach(([previous, token], i) => {
      this.tokens.values[first + i] = token;
      this.back[0].values[first + i] = previous;
      if (first + i) this.children.set(previous * this.network.vocabSize + token, first + i);
      this.outputs[0].row(first + i).set(this.embedded(token));
    });
    levels.forEach((level, number) => {
      const joined = this.join(number, first, added.length);
      this.outputs[number + 1].values.set(run(level.layers, joined, added.length), first * level.width);
    });
    const last = this.outputs.at(-1);
    const x = last.values.slice(first * last.width, this.size * last.width);
    this.logits.values.set(run(head, x, added.length), first * this.network.vocabSize);
  }

  embedded(token) {
    const { embedding, width } = this.network;
    return embedding.subarray(token * width, (token + 1) * width);
  }

  /** Joins each new row with those before it at its level, the oldest first. */
  join(number, first, count) {
    const { group } = this.network.levels[number];
    const input = this.outputs[number], back = this.back[number].values, further = this.back[number + 1]?.values;
    const joined = new Float32Array(count * group * input.width);
    for (let i = 0; i < count; i++) {
      let row = first + i;
      for (let step = group - 1; step >= 0; step--) {
        joined.set(input.row(row), (i * group + step) * input.width);
        row = back[row];
      }
      if (further) further[first + i] = row;
    }
    return joined;
  }

  /** The nodes of a row's tree at a level (0 is the embedding), the oldest first: the rows that they stand at. */
  nodes(row, level) {
    const { levels } = this.network;
    const count = levels.slice(level).reduce((product, { group }) => product * group, 1);
    const found = [row];
    while (found.length < count) found.unshift(this.before(found[0], level));
    return found;
  }

  /** The row that one step of a level lies before another; the level above all is one step. */
  before(row, level) {
    return level < this.back.length ? this.back[level].values[row] : row;
  }
}

/** The logarithms of the probabilities of the next token. */
export function logProbabilities(logits) {
  const highest = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
  return Float64Array.from(logits, (logit) => logit - highest - Math.log(sum));
}
