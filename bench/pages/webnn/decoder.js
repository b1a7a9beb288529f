/** @import {Step} from "./operators.js" */

/** What a language model adds to an encoder's operators. Caches have a fixed capacity; a mask says what counts. */

/** Nearly the largest float32; its negative stands for a score that does not count. */
const LOWEST = 3e38;

/** 0, 1, 2, ... as int32. @param {any} b @param {number[]} shape @returns {MLOperand} */
function counting(b, shape) {
  const count = shape.reduce((x, y) => x * y, 1);
  return b.constant({ dataType: "int32", shape }, Int32Array.from({ length: count }, (_, i) => i));
}

/** @param {any} b @param {number} value @returns {MLOperand} */
const whole = (b, value) => b.constant({ dataType: "int32", shape: [1] }, new Int32Array([value]));

/** @type {Record<string, (step: Step) => MLOperand>} */
export const DECODER = {
  multiply({ b, get, node }) {
    return b.mul(get(node.inputs[0]), get(node.inputs[1]));
  },

  rms_norm({ b, w, get, node }) {
    const groups = Number(node.attrs.groups ?? 1);
    const [rows, width] = node.shape;
    const x = b.reshape(get(node.inputs[0]), [rows * groups, width / groups]);
    const number = (/** @type {number} */ value) => b.reshape(w.number(value), [1, 1]);
    const mean = b.reduceMean(b.mul(x, x), { axes: [1], keepDimensions: true });
    const normal = b.div(x, b.sqrt(b.add(mean, number(Number(node.attrs.epsilon)))));
    return b.reshape(b.mul(normal, w.vector(node.weights[0])), node.shape);
  },

  rope({ b, w, get, node }) {
    const [rows, width] = node.shape;
    const heads = Number(node.attrs.heads);
    const half = width / heads / 2;
    const angles = b.gather(w.table(node.weights[0]), b.add(counting(b, [rows]), get(node.inputs[1])));
    const column = (/** @type {number} */ at) => b.reshape(b.slice(angles, [0, at], [rows, half]), [rows, 1, half]);
    const [cosine, sine] = [column(0), column(half)];
    const x = b.reshape(get(node.inputs[0]), [rows, heads, 2 * half]);
    const [left, right] = [0, half].map((at) => b.slice(x, [0, 0, at], [rows, heads, half]));
    const turned = [
      b.sub(b.mul(left, cosine), b.mul(right, sine)),
      b.add(b.mul(right, cosine), b.mul(left, sine)),
    ];
    return b.reshape(b.concat(turned, 2), node.shape);
  },

  cached_attention({ b, w, get, set, node }) {
    const [q, k, v, keyCache, valueCache, lengthName] = node.inputs;
    const rows = node.shape[0];
    const kvHeads = Number(node.attrs.kv_heads);
    const share = Number(node.attrs.heads) / kvHeads;
    const size = node.shape[1] / kvHeads / share;
    const [capacity] = get(keyCache).shape;
    const length = get(lengthName);
    const places = counting(b, [capacity]);
    // The row of k that a place would get, and whether it gets one.
    const row = b.sub(places, length);
    const nearest = b.max(b.min(row, whole(b, rows - 1)), whole(b, 0));
    const taken = b.reshape(b.equal(row, nearest), [capacity, 1]);
    const kept = [[keyCache, k], [valueCache, v]].map(([cache, fresh]) => {
      const value = b.where(taken, b.gather(get(fresh), nearest), get(cache));
      set(cache, value);
      return b.reshape(value, [capacity, kvHeads, size]);
    });
    const keys = b.transpose(kept[0], { permutation: [1, 2, 0] });
    const values = b.transpose(kept[1], { permutation: [1, 0, 2] });
    const query = b.transpose(b.reshape(get(q), [rows, kvHeads, share, size]), { permutation: [1, 2, 0, 3] });
    const number = (/** @type {number} */ value) => b.reshape(w.number(value), [1, 1, 1, 1]);
    const products = b.matmul(b.reshape(query, [kvHeads, share * rows, size]), keys);
    const scores = b.mul(b.reshape(products, [kvHeads, share, rows, capacity]), number(Number(node.attrs.scale)));
    // A query sees the places up to its own.
    const own = b.reshape(b.add(counting(b, [rows]), length), [rows, 1]);
    const counts = b.cast(b.lesserOrEqual(b.reshape(places, [1, capacity]), own), "float32");
    const lowered = b.mul(b.sub(b.reshape(counts, [1, 1, rows, capacity]), number(1)), number(LOWEST));
    const shares = b.reshape(b.softmax(b.add(scores, lowered), 3), [kvHeads, share * rows, capacity]);
    const mixed = b.reshape(b.matmul(shares, values), [kvHeads, share, rows, size]);
    return b.reshape(b.transpose(mixed, { permutation: [2, 0, 1, 3] }), node.shape);
  },

  last_token({ b, get, node }) {
    const x = get(node.inputs[0]);
    return b.slice(x, [x.shape[0] - 1, 0], node.shape);
  },

  next_token({ b, get, set, node }) {
    const [logitsName, token, tokens, length] = node.inputs;
    const logits = get(logitsName);
    const chosen = b.argMax(logits, 1, { outputDataType: "int32" });
    const at = b.add(get(length), whole(b, Number(node.attrs.count)));
    set(token, chosen);
    set(length, at);
    set(tokens, b.where(b.equal(counting(b, get(tokens).shape), at), chosen, get(tokens)));
    return b.reduceMax(logits, { axes: [1], keepDimensions: true });
  },
};
