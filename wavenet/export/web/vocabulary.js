// Characters and tokens, and the words that the network was trained with. wavenet/corpus/vocabulary.py and
// wavenet/export/known.py have the same in Python.

import { bytesOf } from "./network.js";

export class Vocabulary {
  constructor(alphabet) {
    this.characters = [...alphabet];
    this.tokens = new Map(this.characters.map((character, i) => [character, i + 1]));
  }

  get size() {
    return this.characters.length + 1;
  }

  /**
   * The tokens of a text in Unicode's NFC form; or as it stands, where the network knows only that: it may make a word of
   * a letter and an accent that it never saw as one character. An error names the first character that it does not know.
   */
  encode(text) {
    const isUnknown = (character) => !this.tokens.has(character);
    const composed = [...text.normalize("NFC")], unknown = composed.find(isUnknown);
    const characters = unknown === undefined ? composed : [...text];
    if (characters.some(isUnknown)) throw new UnknownCharacter(unknown);
    return characters.map((character) => this.tokens.get(character));
  }

  decode(tokens) {
    return tokens.map((token) => this.characters[token - 1]).join("");
  }
}

export class UnknownCharacter extends Error {
  constructor(character) {
    const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    super(`the network does not know the character ${visible(character)} (U+${code})`);
  }
}

/** A character that can be seen on its own: a combining mark gets a circle to stand on. */
export function visible(character) {
  if (/^\p{M}$/u.test(character)) return "◌" + character;
  return character === " " ? "␣" : character;
}

/** A Bloom filter: it knows every word that was put in, and takes few others for one of them. */
export class KnownWords {
  constructor({ bits, size, hashes }) {
    this.bits = bytesOf(bits);
    this.size = size;
    this.hashes = hashes;
  }

  has(word) {
    const bytes = new TextEncoder().encode(word);
    const first = hash(bytes, 0x811c9dc5), step = hash(bytes, 0x9747b28c) | 1;
    for (let i = 0; i < this.hashes; i++) {
      const bit = (first + i * (step >>> 0)) % this.size;
      if (!(this.bits[Math.floor(bit / 8)] & (1 << (bit % 8)))) return false;
    }
    return true;
  }
}

/** 32 bits of a text. Sources: the FNV-1a hash; the finalizer of Austin Appleby's MurmurHash3. */
function hash(bytes, basis) {
  let h = basis;
  for (const byte of bytes) h = Math.imul(h ^ byte, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
