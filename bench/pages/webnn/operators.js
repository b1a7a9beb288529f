import { DECODER } from "./decoder.js";

/** @import {GraphNode} from "../runtime/types.d.ts" */
/** @import {Int8Linears} from "./qdq.js" */
/** @import {WebNnWeights} from "./weights.js" */

/** Nearly the largest float32; its negative stands for a score that does not count. */
const LOWEST = 3e38;

/**
 * One function an operator of the graph: operands in, operand out. Activations are float32 [rows, features].
 * `set` gives a state its new value.
 * @typedef {{b: any, w: WebNnWeights, int8: Int8Linears | null, get: (name: string) => MLOperand, set: (state: string, value: MLOperand) => void,
 *   node: GraphNode}} Step
 * @type {Record<string, (step: Step) => MLOperand>}
 */
export const OPERATORS = {
  ...DECODER,

  embedding({ b, w, get, node }) {
    const ids = b.reshape(get(node.inputs[0]), [node.shape[0]]);
    return w.rows(node.weights[0], ids, node.shape[0]);
  },

  add({ b, get, node }) {
    return b.add(get(node.inputs[0]), get(node.inputs[1]));
  },

  layer_norm({ b, w, get, node }) {
    const [scale, bias] = node.weights.map((name) => w.vector(name));
    const x = get(node.inputs[0]);
    // Told from the row's first value, as in layer_norm.wgsl: the rounding of a mean is else all that is left of
    // equal values, divided by its own size.
    const told = b.sub(x, b.slice(x, [0, 0], [node.shape[0], 1]));
    return b.layerNormalization(told, { scale, bias, axes: [1], epsilon: node.attrs.epsilon });
  },

  linear({ b, w, int8, get, node }) {
    const x = get(node.inputs[0]);
    const weight = w.matrix(node.weights[0]);
    const bias = node.weights.length > 1 ? w.vector(node.weights[1]) : null;
    if (int8) return int8.linear(b, node.output, x, weight, bias);
    return b.gemm(x, weight, { bTranspose: true, ...(bias ? { c: bias } : {}) });
  },

  activation({ b, w, get, node }) {
    const x = get(node.inputs[0]);
    if (node.attrs.kind === "silu") return b.mul(x, b.sigmoid(x));
    if (node.attrs.kind !== "gelu_tanh") {
      return b[String(node.attrs.kind)](x);
    }
    const number = (/** @type {number} */ value) => b.reshape(w.number(value), [1, 1]);
    const cubed = b.mul(b.mul(x, x), b.mul(x, number(0.044715)));
    const inner = b.tanh(b.mul(b.add(x, cubed), number(Math.sqrt(2 / Math.PI))));
    return b.mul(b.mul(x, number(0.5)), b.add(inner, number(1)));
  },

  attention({ b, w, get, node }) {
    const heads = Number(node.attrs.heads);
    const batch = Number(node.attrs.batch);
    const sequence = Number(node.attrs.sequence);
    const keys = Number(node.attrs.keys ?? sequence);
    const size = node.shape[1] / heads;
    const split = (/** @type {string} */ name, /** @type {number} */ rows, /** @type {number[]} */ permutation) =>
      b.transpose(b.reshape(get(name), [batch, rows, heads, size]), { permutation });
    const number = (/** @type {number} */ value) => b.reshape(w.number(value), [1, 1, 1, 1]);
    const q = split(node.inputs[0], sequence, [0, 2, 1, 3]);
    const k = split(node.inputs[1], keys, [0, 2, 3, 1]);
    const v = split(node.inputs[2], keys, [0, 2, 1, 3]);
    let scores = b.mul(b.matmul(q, k), number(Number(node.attrs.scale)));
    // 1 where a key counts, 0 where it is padding or comes later.
    const padding =
      node.inputs.length > 3 ? b.reshape(b.cast(get(node.inputs[3]), "float32"), [batch, 1, 1, keys]) : null;
    let causal = null;
    if (node.attrs.causal === 1) {
      const earlier = Float32Array.from({ length: sequence * keys }, (_, i) => (i % keys > Math.floor(i / keys) ? 0 : 1));
      causal = b.constant({ dataType: "float32", shape: [1, 1, sequence, keys] }, earlier);
    }
    const counts = padding && causal ? b.mul(padding, causal) : (padding ?? causal);
    // Beside nearly the largest number there is no score is seen: all that do not count are as low, and exp gives
    // exactly 0. Where no key counts at all they share alike: those shares are taken away again.
    if (counts) scores = b.add(scores, b.mul(b.sub(counts, number(1)), number(LOWEST)));
    let shares = b.softmax(scores, 3);
    let values = v;
    if (padding && causal) shares = b.mul(shares, counts);
    else if (padding) values = b.mul(v, b.reshape(padding, [batch, 1, keys, 1])); // as good, and much smaller
    const mixed = b.matmul(shares, values);
    return b.reshape(b.transpose(mixed, { permutation: [0, 2, 1, 3] }), node.shape);
  },

  unfold({ b, get, node }) {
    const { batch, sequence, kernel, stride, padding } = /** @type {Record<string, number>} */ (node.attrs);
    const channels = node.shape[1] / kernel;
    const rows = node.shape[0] / batch;
    const x = b.reshape(get(node.inputs[0]), [batch, sequence, channels]);
    const padded = b.pad(x, [0, padding, 0], [0, padding, 0]);
    // Each row of the window is a strided slice; side by side in a new last axis they are the columns.
    const shifted = Array.from({ length: kernel }, (_, i) => {
      // A stride may not be longer than what is taken.
      const strides = [1, rows > 1 ? stride : 1, 1];
      const taken = b.slice(padded, [0, i, 0], [batch, (rows - 1) * stride + 1, channels], { strides });
      return b.reshape(taken, [batch * rows, channels, 1]);
    });
    return b.reshape(b.concat(shifted, 2), node.shape);
  },

  mean_pool({ b, w, get, node }) {
    const batch = Number(node.attrs.batch);
    const sequence = Number(node.attrs.sequence);
    const mask = b.reshape(b.cast(get(node.inputs[1]), "float32"), [batch, sequence, 1]);
    const x = b.reshape(get(node.inputs[0]), [batch, sequence, node.shape[1]]);
    const sum = b.reduceSum(b.mul(x, mask), { axes: [1] });
    const count = b.reduceSum(mask, { axes: [1] });
    return b.div(sum, b.max(count, b.reshape(w.number(1e-9), [1, 1])));
  },

  first_token({ b, get, node }) {
    const batch = Number(node.attrs.batch);
    const sequence = Number(node.attrs.sequence);
    const x = b.reshape(get(node.inputs[0]), [batch, sequence, node.shape[1]]);
    return b.reshape(b.slice(x, [0, 0, 0], [batch, 1, node.shape[1]]), node.shape);
  },

  l2_normalize({ b, w, get, node }) {
    const x = get(node.inputs[0]);
    const length = b.reduceL2(x, { axes: [1], keepDimensions: true });
    return b.div(x, b.max(length, b.reshape(w.number(Number(node.attrs.epsilon)), [1, 1])));
  },

  softmax({ b, w, get, node }) {
    // A row of nothing but -inf becomes zeros: what is below the lowest number counts as that, and for nothing.
    const number = (/** @type {number} */ value) => b.reshape(w.number(value), [1, 1]);
    const x = b.max(get(node.inputs[0]), number(-LOWEST));
    const counts = b.cast(b.greater(x, number(-LOWEST)), "float32");
    return b.mul(b.softmax(x, 1), counts);
  },
};
