// Making words. Every draw is exact: it comes from the network's distribution over words, given what is asked for.

import { ANY, BOUNDARY } from "./network.js";
import { Tree } from "./tree.js";

const BATCH = 256; // draws at a time, for which the network runs once a step
const FEWEST_DRAWS = 200_000, DRAWS_PER_WORD = 100; // a search ends after both, whether or not there are enough words
const MEMORY = 24_000_000; // numbers that a tree may hold before another one is begun
const ROUNDING = 1e-6; // of probabilities, as in wavenet/inference/shaping.py

/** Random numbers from 0 to below 1. Source: Chris Doty-Humphrey's generator sfc32, as in his PractRand. */
export function randomNumbers(seed) {
  let a = 0, b = seed | 0, c = Math.floor(seed / 2 ** 32) | 0, counter = 1;
  function bits() {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result >>> 0;
  }
  for (let i = 0; i < 16; i++) bits();
  return () => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53;
}

/** The probabilities of the next token, shaped by temperature and top-p; of equal ones the lower token is kept first. */
export function shaped(logits, { temperature, topP }) {
  const highest = Math.max(...logits);
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
  normalise(weights);
  if (topP < 1) {
    const order = [...weights.keys()].sort((i, j) => weights[j] - weights[i] || i - j);
    let before = weights[order[0]];
    for (const token of order.slice(1)) {
      const probability = weights[token];
      if (before >= topP - ROUNDING) weights[token] = 0;
      before += probability;
    }
    normalise(weights);
  }
  return weights;
}

function normalise(weights) {
  const sum = total(weights);
  for (let i = 0; i < weights.length; i++) weights[i] /= sum;
}

function total(weights) {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += weights[i];
  return sum;
}

/**
 * Draws words, many at a time, down the tree of beginnings.
 *
 * What must not come (endings that are not wanted, known words, and words drawn before if each may come only once) is
 * taken out of the tree: its probability becomes 0, and less is left at every beginning on the way to it. So nothing is
 * drawn in vain twice. While draws are under way nothing is taken out, which would bend their probabilities.
 *
 * Source: Shi, Bieber and Sutton, "Incremental Sampling Without Replacement for Sequence Models" (2020).
 */
export class Sampler {
  constructor(network, vocabulary, wanted, options) {
    const { label = ANY, temperature = 1, topP = 1, unique = false, known = null, seed = 0 } = options;
    Object.assign(this, { network, vocabulary, wanted, label, unique, known });
    this.shaping = { temperature, topP };
    this.random = randomNumbers(seed);
    this.drawn = new Set();
    this.draws = 0;
    this.begin();
  }

  /** Begins with an empty tree, in which only what all wanted words begin with has been read. */
  begin() {
    this.tree = new Tree(this.network, this.label);
    this.nodes = [];
    this.start = this.tree.find(this.wanted.forced);
    this.nodes[this.start] = this.node(this.start, this.wanted.first, this.wanted.forced.length, 1);
  }

  /** A beginning: its state in the automaton, how probable its last token was, and the weights of those that follow. */
  node(row, state, length, probability) {
    return { row, state, length, probability, weights: shaped(this.tree.logits.row(row), this.shaping), isNew: true };
  }

  /** Whether no wanted word is left. */
  get exhausted() {
    return total(this.nodes[this.start].weights) === 0;
  }

  /** Adds words to a list until there are so many, or no more come. It yields at each step of the network. */
  *draw(number, found) {
    const most = FEWEST_DRAWS + DRAWS_PER_WORD * number;
    while (found.length < number && !this.exhausted && this.draws < most) {
      const missing = number - found.length;
      const size = Math.min(BATCH, Math.ceil((1.1 * missing * (this.draws + 1)) / (found.length + 1)) + 8);
      const endings = yield* this.batch(size);
      this.draws += size;
      const removed = [];
      for (const ending of endings) {
        const word = ending.isWord && this.vocabulary.decode(ending.tokens);
        const isFound = ending.isWord && !this.known?.has(word) && !this.drawn.has(word);
        if (isFound && found.length < number) found.push(word);
        if (isFound && this.unique) this.drawn.add(word);
        if (!isFound || this.unique) removed.push(ending);
      }
      this.remove(removed);
      if (this.tree.size * (Tree.width(this.network) + 2 * this.network.vocabSize) > MEMORY) this.begin();
    }
  }

  /** So many independent draws: their tokens, where they ended and whether they are wanted words, in their order. */
  *batch(size) {
    const draws = Array.from({ length: size }, () => ({ row: this.start, tokens: [...this.wanted.forced], isWord: false }));
    let going = draws;
    while (going.length) {
      for (const draw of going) this.step(draw);
      going = going.filter((draw) => draw.isGoing);
      const added = new Map();
      for (const { row, token } of going) {
        if (this.tree.child(row, token) === undefined) added.set(row * this.network.vocabSize + token, [row, token]);
      }
      this.tree.add([...added.values()]);
      for (const draw of going) this.move(draw);
      yield;
    }
    return draws;
  }

  /** Draws the next token of one draw. */
  step(draw) {
    const node = this.nodes[draw.row];
    draw.token = this.pick(node.weights);
    const state = this.wanted.next(node.state, draw.token);
    const isLive = this.wanted.isLive(node.length + 1, state);
    draw.isWord = isLive && draw.token === BOUNDARY;
    draw.isGoing = isLive && draw.token !== BOUNDARY;
  }

  /** Goes on to the beginning that is one token longer. */
  move(draw) {
    const before = this.nodes[draw.row];
    draw.tokens.push(draw.token);
    draw.row = this.tree.child(draw.row, draw.token);
    this.nodes[draw.row] ??= this.node(
      draw.row, this.wanted.next(before.state, draw.token), before.length + 1, before.weights[draw.token],
    );
  }

  pick(weights) {
    let left = this.random() * total(weights);
    let last = 0;
    for (let token = 0; token < weights.length; token++) {
      if (weights[token] > 0) {
        last = token;
        left -= weights[token];
        if (left < 0) break;
      }
    }
    return last;
  }

  /** Takes endings out of the tree, and at its new beginnings all that is not wanted, from the leaves to the start. */
  remove(endings) {
    const changed = new Set();
    for (const { row, token } of endings) {
      this.nodes[row].weights[token] = 0;
      changed.add(row);
    }
    for (let row = this.tree.size - 1; row >= this.start; row--) {
      const node = this.nodes[row];
      if (!node) continue;
      if (node.isNew) {
        this.clear(node);
        changed.add(row);
      }
      if (changed.has(row) && row !== this.start) {
        const previous = this.tree.previous.values[row];
        this.nodes[previous].weights[this.tree.tokens.values[row]] = node.probability * total(node.weights);
        changed.add(previous);
      }
    }
  }

  clear(node) {
    node.isNew = false;
    for (let token = 0; token < node.weights.length; token++) {
      const state = this.wanted.next(node.state, token);
      if (!this.wanted.isLive(node.length + 1, state)) node.weights[token] = 0;
    }
  }
}
