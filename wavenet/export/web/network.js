// The network: layers of numbers, run on many rows at once. wavenet/network/layers.py has the same layers in torch.

export const BOUNDARY = 0; // the token that begins and ends a word
export const ANY = 0; // the label of words of any kind

/** The bytes of a text in base64. */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/**
 * Reads matrices in the order in which wavenet/export/packing.py wrote them: integers of so many bits, the lowest bit
 * first, from the beginning of a byte on, and a scale for each row.
 */
class Reader {
  constructor({ bits, integers, scales }) {
    this.bits = bits;
    this.bytes = bytesOf(integers);
    this.scales = new Float32Array(bytesOf(scales).buffer);
    this.nextByte = this.nextScale = 0;
  }

  matrix(rows, columns, bits = this.bits) {
    const values = new Float32Array(rows * columns);
    let read = 0, count = 0; // the bits that are read and not used, and how many they are
    for (let row = 0; row < rows; row++) {
      const scale = this.scales[this.nextScale++];
      if (scale === 0) continue; // a row of zeros has no integers
      for (let column = 0; column < columns; column++) {
        for (; count < bits; count += 8) read |= this.bytes[this.nextByte++] << count;
        values[row * columns + column] = ((read << (32 - bits)) >> (32 - bits)) * scale; // the shifts keep the sign
        read >>>= bits, count -= bits;
      }
    }
    return values;
  }
}

/** A trained network, or an ensemble of several, whose probabilities are the mean of its members'. */
export class Network {
  constructor({ vocabSize, members }, weights) {
    const reader = new Reader(weights);
    this.vocabSize = vocabSize;
    this.members = members.map((member) => new Member(member, reader));
  }
}

/**
 * One network: an embedding of tokens and of the word's label, levels that each join neighbouring steps, and the head
 * that makes logits; and perhaps a table, whose logits are added. Only joining mixes time, which the tree does (tree.js);
 * all other layers treat each row alone.
 */
class Member {
  constructor({ vocabSize, numLabels, width, levels, head, table }, reader) {
    this.width = width;
    this.embedding = reader.matrix(vocabSize, width);
    this.labels = numLabels ? reader.matrix(numLabels + 1, width) : new Float32Array(width);
    this.levels = levels.map(({ group, width, layers }) => ({ group, width, layers: withWeights(layers, reader) }));
    this.head = withWeights(head, reader);
    this.table = table && new Table(table, vocabSize, reader);
  }

  /** How many tokens the levels read. */
  get blockSize() {
    return this.levels.reduce((product, level) => product * level.group, 1);
  }

  embedded(token, label) {
    const { embedding, labels, width } = this;
    const ofLabel = labels.subarray(label * width, (label + 1) * width);
    return ofLabel.map((value, i) => value + embedding[token * width + i]);
  }
}

/** What n-grams say of the next token: the sum of a row of logits for each, found by a hash. */
class Table {
  constructor({ rows, bits, longest, gain, multiplier, prime }, vocabSize, reader) {
    Object.assign(this, { rows, longest, multiplier, prime, vocabSize });
    this.logits = reader.matrix(rows, vocabSize, bits).map((value) => gain * value);
  }

  /** The rows of the n-grams of 2, 3, ... tokens, of tokens that are given the newest first. All products are exact. */
  rowsOf(tokens) {
    const found = [];
    let hashed = 0;
    for (const token of tokens) {
      hashed = (hashed * this.multiplier + token + 1) % this.prime;
      found.push(hashed % this.rows);
    }
    return found.length > 1 ? found.slice(1) : found;
  }

  row(number) {
    return this.logits.subarray(number * this.vocabSize, (number + 1) * this.vocabSize);
  }
}

function withWeights(layers, reader) {
  return layers.map((layer) => {
    switch (layer.kind) {
      case "linear": {
        const weight = reader.matrix(layer.outputs, layer.inputs);
        return { ...layer, weight, bias: reader.matrix(1, layer.outputs) };
      }
      case "layerNorm": {
        const weight = reader.matrix(1, layer.width);
        return { ...layer, weight, bias: reader.matrix(1, layer.width) };
      }
      case "residual":
        return { ...layer, layers: withWeights(layer.layers, reader) };
      default:
        return layer;
    }
  });
}

const APPLY = { linear, layerNorm, residual, tanh: eachValue(Math.tanh), gelu: eachValue(gelu), gate };

/** What the layers make of so many rows. */
export function run(layers, x, rows) {
  for (const layer of layers) x = APPLY[layer.kind](x, rows, layer);
  return x;
}

/** Four rows and two outputs at a time, so that each number is read once for several products. */
function linear(x, rows, { inputs, outputs, weight, bias }) {
  const y = new Float32Array(rows * outputs);
  const evenRows = rows - (rows % 4), evenOutputs = outputs - (outputs % 2);
  for (let row = 0; row < evenRows; row += 4) {
    const a = row * inputs, b = a + inputs, c = b + inputs, d = c + inputs;
    for (let output = 0; output < evenOutputs; output += 2) {
      const first = output * inputs, second = first + inputs;
      let a1 = bias[output], b1 = a1, c1 = a1, d1 = a1;
      let a2 = bias[output + 1], b2 = a2, c2 = a2, d2 = a2;
      for (let i = 0; i < inputs; i++) {
        const v = weight[first + i], w = weight[second + i];
        const xa = x[a + i], xb = x[b + i], xc = x[c + i], xd = x[d + i];
        a1 += v * xa, b1 += v * xb, c1 += v * xc, d1 += v * xd;
        a2 += w * xa, b2 += w * xb, c2 += w * xc, d2 += w * xd;
      }
      const to = row * outputs + output;
      y[to] = a1, y[to + outputs] = b1, y[to + 2 * outputs] = c1, y[to + 3 * outputs] = d1;
      y[to + 1] = a2, y[to + outputs + 1] = b2, y[to + 2 * outputs + 1] = c2, y[to + 3 * outputs + 1] = d2;
    }
  }
  for (let row = 0; row < rows; row++) { // what is left of both
    for (let output = row < evenRows ? evenOutputs : 0; output < outputs; output++) {
      let sum = bias[output];
      for (let i = 0; i < inputs; i++) sum += weight[output * inputs + i] * x[row * inputs + i];
      y[row * outputs + output] = sum;
    }
  }
  return y;
}

function layerNorm(x, rows, { width, epsilon, weight, bias }) {
  const y = new Float32Array(x.length);
  for (let begin = 0; begin < rows * width; begin += width) {
    let mean = 0, variance = 0;
    for (let i = 0; i < width; i++) mean += x[begin + i] / width;
    for (let i = 0; i < width; i++) variance += (x[begin + i] - mean) ** 2 / width;
    const scale = 1 / Math.sqrt(variance + epsilon);
    for (let i = 0; i < width; i++) y[begin + i] = (x[begin + i] - mean) * scale * weight[i] + bias[i];
  }
  return y;
}

/** Adds what the layers make of a row to its last features, which are its newest step. */
function residual(x, rows, { layers }) {
  const y = run(layers, x, rows);
  const from = x.length / rows, to = y.length / rows;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < to; i++) y[row * to + i] += x[(row + 1) * from - to + i];
  }
  return y;
}

/** WaveNet's activation: the tanh of one half of the features times the sigmoid of the other. */
function gate(x, rows) {
  const width = x.length / rows / 2;
  const y = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) {
      const signal = x[2 * row * width + i], opening = x[(2 * row + 1) * width + i];
      y[row * width + i] = Math.tanh(signal) / (1 + Math.exp(-opening));
    }
  }
  return y;
}

function eachValue(compute) {
  return (x) => {
    const y = new Float32Array(x.length);
    for (let i = 0; i < x.length; i++) y[i] = compute(x[i]);
    return y;
  };
}

function gelu(x) {
  return (x / 2) * (1 + erf(x / Math.SQRT2));
}

/** The error function, to 1.5e-7. Source: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 7.1.26. */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}
