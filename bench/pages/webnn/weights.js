/** @import {Formats, Program, Quantization, TensorSource} from "../runtime/types.d.ts" */

const SCHEMES = ["symmetric", "asymmetric"];

/**
 * Packed weights as WebNN operands that stay packed in the graph.
 *
 * Block-wise `dequantizeLinear` is exact but slow in today's LiteRT backend (1024 x 1024 at blocks of 32: 28 ms a
 * dispatch), so groups are scaled by a broadcast `mul` instead, which gives the same values: 8 bits are an int8
 * constant and a cast; 4 bits an int4 constant and a `dequantizeLinear` of scale 1, the one operator that reads int4.
 */
export class WebNnWeights {
  /** @param {any} builder @param {Program} program @param {TensorSource} tensors */
  constructor(builder, program, tensors) {
    this.builder = builder;
    this.program = program;
    this.tensors = tensors;
    /** @type {Map<string, Uint8Array>} bytes of the weights of the node that is being built */
    this.held = new Map();
    this.bytes = 0;
    /** @type {Set<string>} */
    this.paths = new Set();
    /** @type {Formats} the type of each matrix as the graph holds it */
    this.formats = new Map();
    /** @type {Map<string, MLOperand>} constants that several operators read (tied embeddings), handed over once */
    this.made = new Map();
  }

  /**
   * Have the bytes of a node's weights here, and no others; a graph is built node by node.
   * @param {readonly string[]} names
   */
  async hold(names) {
    this.held = new Map();
    for (const name of names) {
      // What is an operand already is not read again (tied embeddings).
      const made = (/** @type {string[]} */ ...keys) => keys.some((key) => this.made.has(name + key));
      const parts = { "": made(""), ".codes": made(":half", ":integers"), ".scales": made(":scales"), ".zeros": made(":zeros") };
      for (const [part, isMade] of Object.entries(parts)) {
        const key = name + part;
        if (!isMade && this.tensors.size(key) !== undefined) this.held.set(key, await this.tensors.bytes(key));
      }
    }
  }

  /** @param {string} name @returns {Uint8Array} the stored bytes, aligned for any view; taken once */
  stored(name) {
    const bytes = this.held.get(name);
    if (!bytes) throw new Error(`the bundle holds no ${name}`);
    return bytes;
  }

  /** @param {string} dataType @param {number[]} shape @param {ArrayBufferView} data @returns {MLOperand} */
  constant(dataType, shape, data) {
    this.bytes += data.byteLength;
    return this.builder.constant({ dataType, shape }, data);
  }

  /** Take note of what a matrix was built as. @param {string} name @param {number} bits @param {Quantization} quant */
  note(name, bits, quant) {
    const { rows } = this.layout(name);
    const { group_size, scheme } = bits === 16 ? { group_size: null, scheme: null } : quant;
    this.formats.set(name, { bits, group_size, scheme, parameters: rows * quant.k });
  }

  /** @param {string} key @param {() => MLOperand} make @returns {MLOperand} */
  once(key, make) {
    const operand = this.made.get(key) ?? make();
    this.made.set(key, operand);
    return operand;
  }

  /** A vector, f16 in the bundle, as float32. @param {string} name @returns {MLOperand} */
  vector(name) {
    const half = new Float16Array(this.stored(name).buffer);
    return this.builder.cast(this.constant("float16", [half.length], half), "float32");
  }

  /** A computed table, float32. @param {string} name @returns {MLOperand} */
  table(name) {
    const shape = this.program.weights.find((w) => w.name === name)?.shape ?? [];
    return this.once(name, () =>
      this.builder.constant({ dataType: "float32", shape }, new Float32Array(this.stored(name).buffer)),
    );
  }

  /** @param {string} name @returns {{rows: number, quant: Quantization}} */
  layout(name) {
    const weight = this.program.weights.find((w) => w.name === name);
    if (!weight) throw new Error(`graph names no weight ${name}`);
    const quant = this.program.quantization[name];
    if (quant && quant.bits < 16 && !SCHEMES.includes(quant.scheme)) {
      throw new Error(`webnn: no form for weights that are ${quant.scheme}`);
    }
    return { rows: weight.shape[0], quant };
  }

  /** A matrix [rows, k] as float32, unpacked inside the graph. @param {string} name @returns {MLOperand} */
  matrix(name) {
    const { rows, quant } = this.layout(name);
    if (quant.bits === 16) {
      this.paths.add("float16 constant, cast to float32");
      const half = this.once(`${name}:half`, () => this.half(name, rows, quant.k));
      return this.powered(this.builder.cast(half, "float32"), quant);
    }
    const shape = [rows, quant.kp / quant.group_size, quant.group_size];
    return this.scaled(this.codes(name, shape, quant), this.scales(name, rows, quant), name, rows, quant, null);
  }

  /** Rows of a table for `ids` [r]: gathered while packed. @param {string} name @param {MLOperand} ids @param {number} r */
  rows(name, ids, r) {
    const { rows, quant } = this.layout(name);
    const { builder } = this;
    if (quant.bits === 16) {
      const half = this.once(`${name}:half`, () => this.half(name, rows, quant.k));
      return this.powered(builder.cast(builder.gather(half, ids), "float32"), quant);
    }
    const groups = quant.kp / quant.group_size;
    const shape = [r, groups, quant.group_size];
    const scales = builder.gather(this.scales(name, rows, quant), ids);
    let codes;
    if (quant.bits === 4) {
      // No backend gathers int4: pairs are gathered as bytes and taken apart by arithmetic.
      this.paths.add("4-bit tables gathered as byte pairs");
      this.note(name, 4, quant);
      const bytes = this.constant("uint8", [rows, quant.kp / 2], this.stored(`${name}.codes`));
      const pairs = builder.cast(builder.gather(bytes, ids), "float32");
      const high = builder.floor(builder.mul(pairs, this.number(1 / 16)));
      const low = builder.sub(pairs, builder.mul(high, this.number(16)));
      const column = [r, quant.kp / 2, 1];
      const both = builder.concat([builder.reshape(low, column), builder.reshape(high, column)], 2);
      codes = builder.sub(builder.reshape(both, shape), this.number(8));
    } else {
      const table = this.once(`${name}:integers`, () => this.integers(name, [rows, quant.kp], quant));
      codes = builder.reshape(builder.cast(builder.gather(table, ids), "float32"), shape);
    }
    return this.scaled(codes, scales, name, r, quant, ids);
  }

  /** @param {number} value */
  number(value) {
    return this.builder.constant({ dataType: "float32", shape: [1, 1, 1] }, new Float32Array([value]));
  }

  /** Times 2 to the matrix's exponent. @param {MLOperand} values [r, c] @param {Quantization} quant */
  powered(values, quant) {
    if (!quant.exponent) return values;
    return this.builder.mul(values, this.builder.reshape(this.number(2 ** quant.exponent), [1, 1]));
  }

  /** @param {string} name @param {number} rows @param {number} k */
  half(name, rows, k) {
    this.note(name, 16, this.layout(name).quant);
    const words = Math.ceil(k / 2);
    let data = new Float16Array(this.stored(`${name}.codes`).buffer);
    if (k % 2 === 1) {
      // Rows are padded to whole words in the bundle.
      const padded = data;
      data = new Float16Array(rows * k);
      for (let row = 0; row < rows; row++) {
        data.set(padded.subarray(row * 2 * words, row * 2 * words + k), row * k);
      }
    }
    return this.constant("float16", [rows, k], data);
  }

  /** Signed integers of 8, 4 or 2 bits as an operand of that very type. @param {string} name @param {number[]} shape @param {Quantization} quant */
  integers(name, shape, quant) {
    const bytes = this.stored(`${name}.codes`);
    // Unsigned codes become two's complement by flipping the top bit of each.
    const flip = { 8: 0x80808080, 4: 0x88888888, 2: 0xaaaaaaaa }[quant.bits] ?? 0;
    const words = new Uint32Array(bytes.buffer);
    for (let i = 0; i < words.length; i++) words[i] ^= flip;
    const view = quant.bits === 8 ? new Int8Array(bytes.buffer) : bytes;
    this.note(name, quant.bits, quant);
    return this.constant(`int${quant.bits}`, shape, view);
  }

  /** Codes minus 2^(bits-1) as float32 [rows, groups, group]. @param {string} name @param {number[]} shape @param {Quantization} quant */
  codes(name, shape, quant) {
    const { builder } = this;
    if (quant.bits === 8) {
      this.paths.add("int8 constant, cast and scaled by group in the graph");
      const flat = this.once(`${name}:integers`, () => this.integers(name, [shape[0], quant.kp], quant));
      return builder.cast(builder.reshape(flat, shape), "float32");
    }
    const integers = this.integers(name, shape, quant);
    this.paths.add(`int${quant.bits} constant, dequantizeLinear and scaled by group in the graph`);
    const zero = builder.constant({ dataType: `int${quant.bits}`, shape: [1, 1, 1] }, new Uint8Array(1));
    return builder.dequantizeLinear(integers, this.number(1), zero);
  }

  /** @param {string} name @param {number} rows @param {Quantization} quant */
  scales(name, rows, quant) {
    return this.once(`${name}:scales`, () => {
      const half = new Float16Array(this.stored(`${name}.scales`).buffer);
      return this.constant("float16", [rows, quant.kp / quant.group_size], half);
    });
  }

  /**
   * (codes - zero) * scale, padding cut off.
   * @param {MLOperand} codes [r, groups, group]
   * @param {MLOperand} scales float16 [r, groups]
   * @param {string} name
   * @param {number} r
   * @param {Quantization} quant
   * @param {MLOperand | null} ids
   */
  scaled(codes, scales, name, r, quant, ids) {
    const { builder } = this;
    const groups = quant.kp / quant.group_size;
    let values = codes;
    if (quant.scheme === "asymmetric") {
      const zeros = this.once(`${name}:zeros`, () => this.zeros(name, quant));
      const mine = ids ? builder.gather(zeros, ids) : zeros;
      values = builder.sub(values, builder.reshape(builder.cast(mine, "float32"), [r, groups, 1]));
    }
    const scale = builder.reshape(this.powered(builder.cast(scales, "float32"), quant), [r, groups, 1]);
    const flat = builder.reshape(builder.mul(values, scale), [r, quant.kp]);
    return quant.kp === quant.k ? flat : builder.slice(flat, [0, 0], [r, quant.k]);
  }

  /** Zero points less 2^(bits-1), unpacked to int8. @param {string} name @param {Quantization} quant */
  zeros(name, quant) {
    const { rows } = this.layout(name);
    const groups = quant.kp / quant.group_size;
    const words = new Uint32Array(this.stored(`${name}.zeros`).buffer);
    const per = 32 / quant.bits;
    const stride = Math.ceil(groups / per);
    const zeros = new Int8Array(rows * groups);
    for (let row = 0; row < rows; row++) {
      for (let g = 0; g < groups; g++) {
        const word = words[row * stride + Math.floor(g / per)];
        zeros[row * groups + g] = ((word >>> ((g % per) * quant.bits)) & (2 ** quant.bits - 1)) - 2 ** (quant.bits - 1);
      }
    }
    return this.constant("int8", [rows, groups], zeros);
  }
}
