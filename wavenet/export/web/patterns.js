// Which words are wanted: a prefix, a pattern and lengths, as one automaton. wavenet/inference/patterns.py has the same.

import { BOUNDARY } from "./network.js";

const MAX_STATES = 10_000;
const ANY_RUN = null; // the element that stands for any run of characters

/** The words with a prefix, a pattern and lengths, read one token at a time; state 0 is that before any character. */
export class Wanted {
  constructor(vocabulary, { prefix = "", pattern = "*", minLength = 1, maxLength = 64 }) {
    if (minLength > maxLength) throw new Error("the shortest length is above the longest");
    const start = [...vocabulary.encode(prefix).map((token) => new Set([token])), ANY_RUN];
    this.vocabSize = vocabulary.size;
    this.maxLength = maxLength;
    this.transitions = automaton([start, parse(pattern.normalize("NFC"), vocabulary)], vocabulary.size);
    this.states = this.transitions.length / vocabulary.size;
    this.end = this.states - 2;
    this.live = this.findLive(minLength, maxLength);
    if (!this.isLive(0, 0)) throw new Error("no word of these lengths fits");
    [this.forced, this.first] = this.findForced();
  }

  next(state, token) {
    return this.transitions[state * this.vocabSize + token];
  }

  /** Whether a state after so many tokens can still reach a word's end. */
  isLive(length, state) {
    return this.live[length * this.states + state] === 1;
  }

  findLive(minLength, maxLength) {
    this.live = new Uint8Array((maxLength + 2) * this.states);
    for (let length = maxLength; length >= 0; length--) {
      this.live[(length + 1) * this.states + this.end] = Number(length >= minLength);
      for (let state = 0; state < this.states; state++) {
        this.live[length * this.states + state] = Number(this.following(length, state).length > 0);
      }
    }
    return this.live;
  }

  /** The tokens after which a wanted word is still possible. */
  following(length, state) {
    const tokens = [];
    for (let token = 0; token < this.vocabSize; token++) {
      if (this.isLive(length + 1, this.next(state, token))) tokens.push(token);
    }
    return tokens;
  }

  /** The tokens that every wanted word begins with, and the state after them. */
  findForced() {
    const tokens = [];
    let state = 0;
    while (tokens.length < this.maxLength) {
      const following = this.following(tokens.length, state);
      if (following.length !== 1 || following[0] === BOUNDARY) break;
      tokens.push(following[0]);
      state = this.next(state, following[0]);
    }
    return [tokens, state];
  }
}

/** The elements of a pattern: sets of tokens that one character may have, and runs of any characters. */
export function parse(pattern, vocabulary) {
  const elements = [];
  const characters = [...pattern][Symbol.iterator]();
  for (let { value, done } = characters.next(); !done; { value, done } = characters.next()) {
    if (value === "*") {
      if (elements.at(-1) !== ANY_RUN || !elements.length) elements.push(ANY_RUN);
    } else if (value === "?") {
      elements.push(new Set(vocabulary.tokens.values()));
    } else if (value === "[") {
      elements.push(parseSet(characters, vocabulary));
    } else {
      const literal = value === "\\" ? characters.next().value : value;
      if (literal === undefined) throw new Error("a character must follow the last backslash of the pattern");
      elements.push(new Set(vocabulary.encode(literal)));
    }
  }
  return elements;
}

/** The tokens of a bracket, of which the opening one has been read. */
function parseSet(characters, vocabulary) {
  let content = "";
  for (;;) {
    const { value, done } = characters.next();
    if (done) throw new Error("the pattern has a [ without its ], as in [aeiou]");
    if (value === "]" && !["", "!", "^"].includes(content)) break;
    content += value;
  }
  const negated = /^[!^]./su.test(content);
  const ranges = [...(negated ? content.slice(1) : content).matchAll(/(.)-(.)|(.)/gsu)];
  const named = (character) => ranges.some(([, from, to, single]) => character === single || isBetween(character, from, to));
  const tokens = vocabulary.characters.flatMap((character, i) => (named(character) !== negated ? [i + 1] : []));
  if (!tokens.length) throw new Error(`the network knows no character of [${content}]`);
  return new Set(tokens);
}

function isBetween(character, from, to) {
  const code = character.codePointAt(0);
  return from !== undefined && from.codePointAt(0) <= code && code <= to.codePointAt(0);
}

/**
 * The transitions, states times tokens, of the automaton of the words that match all patterns. A state says which
 * elements of each pattern may come next. The last two states are the end of a word and what is not wanted.
 */
function automaton(patterns, vocabSize) {
  const END = -2, UNWANTED = -1;
  const first = patterns.map((elements) => reached([0], elements));
  const numbers = new Map([[JSON.stringify(first), 0]]);
  const states = [first], transitions = [];
  for (const state of states) { // grows while it is read
    transitions.push(state.every((at, i) => at.includes(patterns[i].length)) ? END : UNWANTED);
    for (let token = 1; token < vocabSize; token++) {
      const following = state.map((at, i) => after(at, patterns[i], token));
      if (!following.every((at) => at.length)) {
        transitions.push(UNWANTED);
        continue;
      }
      const key = JSON.stringify(following);
      if (!numbers.has(key)) {
        if (states.length === MAX_STATES) throw new Error("the pattern is too complicated");
        numbers.set(key, states.length);
        states.push(following);
      }
      transitions.push(numbers.get(key));
    }
  }
  for (let i = 0; i < 2 * vocabSize; i++) transitions.push(UNWANTED);
  return Int32Array.from(transitions, (state) => (state < 0 ? states.length + 2 + state : state));
}

/** The positions in a pattern, and those beyond runs, which may be empty. */
function reached(positions, elements) {
  const found = new Set();
  for (let position of positions) {
    found.add(position);
    while (position < elements.length && elements[position] === ANY_RUN) found.add(++position);
  }
  return [...found].sort((a, b) => a - b);
}

function after(positions, elements, token) {
  const moved = positions.flatMap((position) => {
    if (position === elements.length) return [];
    if (elements[position] === ANY_RUN) return [position];
    return elements[position].has(token) ? [position + 1] : [];
  });
  return reached(moved, elements);
}
