/** @import {Inputs} from "../runtime/types.d.ts" */
/** @import {WebNnEntry} from "./entry.js" */

/** The largest code of int8; its negative is one more than the least, so that zero stays zero. */
const LARGEST = 127;

/**
 * Where linears are watched, the largest absolute value of each one's input and product, as graph outputs; where their
 * ranges are known, products whose inputs and outputs are int8. One instance an entry.
 */
export class Int8Linears {
  /** @param {Map<string, number> | null} ranges operand's name -> its largest absolute value; null while they are sought */
  constructor(ranges) {
    this.ranges = ranges;
    /** @type {Map<string, MLOperand>} what is watched */
    this.watched = new Map();
  }

  /** x W^T + bias of a linear. @param {any} b @param {string} name @param {MLOperand} x @param {MLOperand} weight @param {MLOperand | null} bias */
  linear(b, name, x, weight, bias) {
    const coded = this.ranges ? this.coded(b, x, `${name} in`) : this.watch(b, x, `${name} in`);
    const plain = b.gemm(coded, weight, { bTranspose: true });
    // The bias comes after the codes: they then cover the product alone, and a backend sees an int8 product.
    const product = this.ranges ? this.coded(b, plain, `${name} out`) : this.watch(b, plain, `${name} out`);
    return bias ? b.add(product, bias) : product;
  }

  /** @param {any} b @param {MLOperand} x @param {string} name */
  watch(b, x, name) {
    this.watched.set(name, b.reduceMax(b.abs(x), { axes: [0, 1], keepDimensions: true }));
    return x;
  }

  /** @param {any} b @param {MLOperand} x @param {string} name */
  coded(b, x, name) {
    const range = this.ranges?.get(name) || 1; // what is zeros only has any scale
    const scale = b.constant({ dataType: "float32", shape: [1, 1] }, new Float32Array([range / LARGEST]));
    const zero = b.constant({ dataType: "int8", shape: [1, 1] }, new Int8Array(1));
    return b.dequantizeLinear(b.quantizeLinear(x, scale, zero), scale, zero);
  }
}

/**
 * The ranges of an entry's linears over some inputs.
 * @param {WebNnEntry} entry built and compiled, with linears that are watched
 * @param {Inputs[]} sets
 */
export async function rangesOf(entry, sets) {
  /** @type {Map<string, number>} */
  const ranges = new Map();
  for (const inputs of sets) {
    entry.setInputs(inputs);
    entry.dispatch(new Map());
    for (const name of entry.watches.keys()) {
      const [value] = new Float32Array(await entry.context.readTensor(entry.outputs[name]));
      ranges.set(name, Math.max(ranges.get(name) ?? 0, value));
    }
  }
  return ranges;
}
