import { computedOnce, narrowest } from "./once.js";

/** @import {Formats, GraphNode, Program, Quantization, TensorSource} from "../runtime/types.d.ts" */
/** @import {Form, Plan} from "./plan.js" */

const SCHEMES = ["symmetric", "asymmetric"];
/** @type {Form[]} a scale for a whole row */
const BY_ROW = ["per-channel", "qdq-int8"];

/**
 * Weights as WebNN operands, by the plan (`plan.js`). Tables are gathered packed in every plan: of a table a call unpacks
 * only its own rows.
 *
 * Where a graph holds a matrix packed, groups are scaled by a broadcast `mul`: 8 bits are an int8 constant and a cast; 4
 * bits an int4 constant and a `dequantizeLinear` of scale 1, the one operator that reads int4. Block-wise
 * `dequantizeLinear` gives the same values, but 10 to 20 times slower in today's LiteRT backend (docs/webnn.md).
 */
export class WebNnWeights {
  /** @param {any} builder @param {Program} program @param {TensorSource} tensors @param {MLContext} context @param {Plan} plan */
  constructor(builder, program, tensors, context, plan) {
    this.builder = builder;
    this.program = program;
    this.tensors = tensors;
    this.context = context;
    this.plan = plan;
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
   * @param {Pick<GraphNode, "op" | "weights">} node
   */
  async hold({ op, weights }) {
    this.held = new Map();
    for (const name of weights) {
      // What is an operand already is not read again (tied embeddings).
      const made = (/** @type {string[]} */ ...keys) => keys.some((key) => this.made.has(name + key));
      if (op === "linear" && made(":whole")) continue;
      // A product that takes them in another form than a table does needs the bytes again.
      const own = op === "linear" && this.plan.ran !== "packed";
      const parts = {
        "": made(""),
        ".codes": made(":half") || (!own && made(":integers")),
        ".scales": !own && made(":scales"),
        ".zeros": !own && made(":zeros"),
      };
      for (const [part, isMade] of Object.entries(parts)) {
        const key = name + part;
        if (!isMade && this.tensors.size(key) !== undefined) this.held.set(key, await this.tensors.bytes(key));
      }
    }
    if (op === "linear" && this.plan.ran === "dequantized") await this.unpack(weights[0]);
  }

  /** Make a constant of a packed matrix's values, which the browser unpacks from the true type. @param {string} name */
  async unpack(name) {
    const { rows, quant } = this.layout(name);
    if (quant.bits === 16 || this.made.has(`${name}:whole`)) return;
    const values = await computedOnce(this.context, (builder) => {
      const packed = new WebNnWeights(builder, this.program, this.tensors, this.context, { ...this.plan, ran: "packed" });
      packed.held = this.held;
      return packed.matrix(name);
    });
    const held = narrowest(values);
    const type = held instanceof Float32Array ? "float32" : "float16";
    this.note(name, quant.bits, quant);
    this.paths.add(`int${quant.bits} dequantized once, held as ${type}`);
    const constant = this.constant(type, [rows, quant.k], held);
    this.made.set(`${name}:whole`, type === "float32" ? constant : this.builder.cast(constant, "float32"));
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
    const size = this.plan.ran && BY_ROW.includes(this.plan.ran) ? null : group_size;
    this.formats.set(name, { bits, group_size: size, scheme, parameters: rows * quant.k });
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

  /** A matrix [rows, k] as float32. @param {string} name @returns {MLOperand} */
  matrix(name) {
    const whole = this.made.get(`${name}:whole`);
    if (whole) return whole;
    const { rows, quant } = this.layout(name);
    if (quant.bits === 16) {
      this.paths.add("float16 constant, cast to float32");
      const half = this.once(`${name}:half`, () => this.half(name, rows, quant.k));
      return this.powered(this.builder.cast(half, "float32"), quant);
    }
    if (this.plan.ran !== "packed") return this.dequantized(name, rows, quant);
    const shape = [rows, quant.kp / quant.group_size, quant.group_size];
    return this.scaled(this.codes(name, shape, quant), this.scales(name, rows, quant), name, rows, quant, null);
  }

  /** A matrix through `dequantizeLinear`, a scale a group. @param {string} name @param {number} rows @param {Quantization} quant */
  dequantized(name, rows, quant) {
    const { builder } = this;
    const groups = quant.kp / quant.group_size;
    const integers = this.once(`${name}:integers`, () => this.integers(name, [rows, quant.kp], quant));
    const halves = new Float16Array(this.stored(`${name}.scales`).buffer);
    const scale = this.constant("float32", [rows, groups], Float32Array.from(halves, (half) => half * 2 ** (quant.exponent ?? 0)));
    const zero = this.zeroPoints(name, rows * groups, quant);
    this.paths.add(`int${quant.bits} constant, dequantizeLinear by ${groups === 1 ? "row" : "block"} in the graph`);
    const values = builder.dequantizeLinear(integers, scale, this.constant(`int${quant.bits}`, [rows, groups], zero));
    return quant.kp === quant.k ? values : builder.slice(values, [0, 0], [rows, quant.k]);
  }

  /** Zero points in the type of the codes, as `dequantizeLinear` wants them. @param {string} name @param {number} count @param {Quantization} quant */
  zeroPoints(name, count, quant) {
    const values = quant.scheme === "asymmetric" ? this.unpackedZeros(name, quant) : new Int8Array(count);
    if (quant.bits === 8) return values;
    const per = 8 / quant.bits;
    const bytes = new Uint8Array(Math.ceil(count / per));
    values.forEach((value, i) => {
      bytes[Math.floor(i / per)] |= (value & (2 ** quant.bits - 1)) << ((i % per) * quant.bits);
    });
    return bytes;
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

  /** Zero points less 2^(bits-1), as int8. @param {string} name @param {Quantization} quant */
  zeros(name, quant) {
    const shape = [this.layout(name).rows, quant.kp / quant.group_size];
    return this.constant("int8", shape, this.unpackedZeros(name, quant));
  }

  /** @param {string} name @param {Quantization} quant @returns {Int8Array} [rows, groups] */
  unpackedZeros(name, quant) {
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
    return zeros;
  }
}
