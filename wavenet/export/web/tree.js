// The network over words as one tree of their beginnings, in which each beginning is computed once, for all words that
// begin alike. It is the sliding form of wavenet/network/sliding.py: each level joins a row with those before it.

import { ANY, BOUNDARY, run } from "./network.js";

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

/** Row 0 is the boundary, which comes before itself; every other row is a beginning of a word. All words have one label. */
export class Tree {
  constructor(network, label = ANY) {
    this.network = network;
    this.size = 0;
    this.tokens = new Rows(Int32Array, 1);
    this.previous = new Rows(Int32Array, 1); // the row that is one token shorter
    this.members = network.members.map((member) => new Activations(member, label, this));
    this.logits = new Rows(Float32Array, network.vocabSize);
    this.children = new Map();
    this.add([[0, BOUNDARY]]);
  }

  /** The numbers that each row takes. */
  static width({ members, vocabSize }) {
    const widths = members.flatMap(({ width, levels }) => [width, ...levels.map((level) => level.width)]);
    return widths.reduce((sum, width) => sum + width, vocabSize);
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

  /** Adds rows, given as the row before each, which may be among them, and its token. */
  add(added) {
    if (!added.length) return;
    const first = this.size, { vocabSize } = this.network;
    this.size += added.length;
    for (const rows of [this.tokens, this.previous, this.logits]) rows.reserve(this.size);
    added.forEach(([previous, token], i) => {
      this.tokens.values[first + i] = token;
      this.previous.values[first + i] = previous;
      if (first + i) this.children.set(previous * vocabSize + token, first + i);
    });
    const logits = this.members.map((member) => member.add(first, added.length));
    this.logits.values.set(combined(logits, vocabSize), first * vocabSize);
  }

  /** The last tokens before what follows a row, the newest first. */
  lastTokens(row, count) {
    const tokens = [];
    for (; tokens.length < count; row = this.previous.values[row]) tokens.push(this.tokens.values[row]);
    return tokens;
  }
}

/** What one network computes at the rows of a tree, level by level. */
class Activations {
  constructor(member, label, tree) {
    Object.assign(this, { member, label, tree });
    this.back = member.levels.map(() => new Rows(Int32Array, 1)); // for each level, the row one of its steps before
    this.outputs = [member.width, ...member.levels.map((level) => level.width)].map((w) => new Rows(Float32Array, w));
  }

  /** Computes new rows of the tree; their logits. */
  add(first, count) {
    const { levels, head, table } = this.member, { tree } = this;
    for (const rows of [...this.back, ...this.outputs]) rows.reserve(first + count);
    for (let row = first; row < first + count; row++) {
      this.back[0].values[row] = tree.previous.values[row];
      this.outputs[0].row(row).set(this.member.embedded(tree.tokens.values[row], this.label));
    }
    levels.forEach((level, number) => {
      const joined = this.join(number, first, count);
      this.outputs[number + 1].values.set(run(level.layers, joined, count), first * level.width);
    });
    const last = this.outputs.at(-1);
    const logits = run(head, last.values.slice(first * last.width, (first + count) * last.width), count);
    if (table) {
      const width = tree.network.vocabSize;
      for (let i = 0; i < count; i++) {
        for (const said of this.lookUp(first + i)) {
          for (let token = 0; token < width; token++) logits[i * width + token] += said[token];
        }
      }
    }
    return logits;
  }

  /** What the table says after a row: the logits of each n-gram. */
  lookUp(row) {
    const { table } = this.member;
    return table.rowsOf(this.tree.lastTokens(row, table.longest)).map((number) => table.row(number));
  }

  /** The logits of the levels alone after a row, without the table. */
  alone(row) {
    return run(this.member.head, this.outputs.at(-1).row(row), 1);
  }

  /** Joins each new row with those before it at its level, the oldest first. */
  join(number, first, count) {
    const { group } = this.member.levels[number];
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
    const { levels } = this.member;
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

/** The logits of all networks: those of a single one, or else the logarithms of the mean of the probabilities. */
function combined(logits, width) {
  if (logits.length === 1) return logits[0];
  const all = new Float32Array(logits[0].length);
  for (let begin = 0; begin < all.length; begin += width) {
    const each = logits.map((values) => logProbabilities(values.subarray(begin, begin + width)));
    for (let i = 0; i < width; i++) {
      const highest = Math.max(...each.map((logs) => logs[i]));
      const sum = each.reduce((total, logs) => total + Math.exp(logs[i] - highest), 0);
      all[begin + i] = highest + Math.log(sum / each.length);
    }
  }
  return all;
}

/** The logarithms of the probabilities of the next token. */
export function logProbabilities(logits) {
  const highest = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
  return Float64Array.from(logits, (logit) => logit - highest - Math.log(sum));
}
