import * as kernels from "./webgpu/kernels.js";
import { SOFTWARE_TILE, TILES, turnOf } from "./webgpu/tuning.js";

/** @import {Gpu} from "./webgpu/device.js" */
/** @import {Variant} from "./webgpu/pipelines.js" */

/**
 * The variants of a language model's kernels.
 * @param {Gpu} gpu @param {(shader: string, values: any, constants: any) => void} add
 */
function writing(gpu, add) {
  const norm = { H: 8, EPSILON: 1e-5, GROUPS: 1, STRIDE: 8, OFFSET: 0 };
  const strides = { Q_STRIDE: 4, Q_OFFSET: 0, K_STRIDE: 4, K_OFFSET: 0, V_STRIDE: 4, V_OFFSET: 0 };
  for (const wide of gpu.f16 ? [0, 1] : [0]) {
    for (const [ADD, SUM] of [[0, 0], [1, 0], [1, 1]]) {
      add("rms_norm", { THREADS: 64, ADD, SUM, WIDE: wide, WIDE_B: wide, WIDE_OUT: wide }, norm);
    }
    add("last_token", { WIDE: wide }, { T: 2, H: 3 });
    add("best_of_part", { THREADS: 64, WIDE: wide }, { V: 9, PART: 5 });
    add("add", { WIDE_A: wide, WIDE_B: wide, WIDE: wide }, { COUNT: 7 });
    const product = { BITS: 4, GROUP: 32, ASYMMETRIC: 0, KVEC: 1, BIAS: 0, ACT: 0, WIDE: wide, WIDE_A: wide };
    const shape = { M: 4, N: 8, K: 128, KP: 128 };
    add("matmul_tile", { ...product, ...SOFTWARE_TILE, TURN: turnOf(SOFTWARE_TILE), UNIT: 8, PREFETCH: 0 }, shape);
    add("matmul_row", { ...product, ROWS: 4, THREADS: 64, SUBGROUPS: 0, WVEC: 1 }, shape);
  }
  for (const [TURN, Q, KV] of [[1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 0, 1]]) {
    add("rope", { TURN, Q, KV }, { D: 4, T: 1, HEADS: Q, KV_HEADS: KV, CAPACITY: 3, ...strides });
  }
  for (const [D, VEC] of [[64, 4], [128, 4], [10, 1]]) {
    const THREADS = gpu.software ? D / VEC : 128;
    const values = { D, VEC, THREADS, POWER: 2 ** Math.ceil(Math.log2(THREADS)) };
    const sizes = { SCALE: 1, SHARE: 1, CAPACITY: 9, K_STRIDE: D / VEC, O_STRIDE: D / VEC };
    add("attention_row", values, { ...sizes, Q_STRIDE: D / VEC, Q_OFFSET: 0 });
  }
  add("multiply", { ACT: 6 }, { COUNT: 7, N: 7, A_STRIDE: 7, A_OFFSET: 0, B_STRIDE: 7, B_OFFSET: 0 });
  add("next_token", { THREADS: 64 }, { PARTS: 2, COUNT: 1, POSITIONS: 3 });
}

/** Every variant that a plan can ask for, at small shapes. @param {Gpu} gpu @returns {Variant[]} */
export function variants(gpu) {
  /** @type {Variant[]} */
  const all = [];
  const add = (/** @type {string} */ shader, /** @type {any} */ values, /** @type {any} */ constants) =>
    all.push({ shader, values, constants });
  // GROUP is a number in the text and changes no line of it: one stands for all.
  const packings = [16, 8, 4, 2].flatMap((BITS) =>
    (BITS === 16 ? [0] : [0, 1]).map((ASYMMETRIC) => ({ BITS, GROUP: BITS === 16 ? 0 : 32, ASYMMETRIC })),
  );
  const shape = { M: 4, N: 8, K: 128, KP: 128 };
  const unit = (/** @type {number} */ bits) => (bits === 16 ? 4 : 32 / bits);
  for (const packing of packings) {
    for (const [KVEC, BIAS] of [[0, 0], [1, 1]]) {
      const shared = { ...packing, KVEC, BIAS, ACT: 0 };
      for (const PREFETCH of KVEC ? [0, 1] : [0]) {
        const tile = { ...SOFTWARE_TILE, TURN: turnOf(SOFTWARE_TILE), UNIT: unit(packing.BITS), PREFETCH };
        add("matmul_tile", { ...shared, ...tile }, shape);
      }
      for (const SUBGROUPS of gpu.subgroups ? [0, 1] : [0]) {
        add("matmul_row", { ...shared, ROWS: 4, THREADS: 64, SUBGROUPS, WVEC: KVEC }, shape);
      }
    }
    for (const ADD of [0, 1]) add("embedding", { ...packing, ADD }, { R: 4, H: 128, V: 9, KP: 128 });
  }
  const usual = { BITS: 4, GROUP: 32, ASYMMETRIC: 0, KVEC: 1, BIAS: 1, UNIT: 8 };
  for (const ACT of Object.values(kernels.ACTIVATIONS)) {
    add("activation", { ACT }, { COUNT: 7 });
    add("matmul_tile", { ...usual, ACT, ...SOFTWARE_TILE, TURN: turnOf(SOFTWARE_TILE) }, shape);
  }
  for (const tile of TILES) add("matmul_tile", { ...usual, ACT: 0, ...tile, TURN: turnOf(tile), PREFETCH: 1 }, shape);
  for (const ADD of [0, 1]) add("layer_norm", { ADD, THREADS: 64 }, { H: 8, EPSILON: 1e-12 });
  for (const d of [1, 12, 64, 128, 256]) {
    const spec = { name: "", batch: 1, sequence: 3, heads: 1, hidden: d, scale: 1, mask: "m", output: "o" };
    const q = { value: "q", stride: d, offset: 0 };
    all.push(kernels.attention(gpu, { ...spec, q, k: q, v: q }).variant);
    all.push(kernels.attention(gpu, { ...spec, q, k: q, v: q, mask: null, keys: 5 }).variant);
    all.push(kernels.attention(gpu, { ...spec, q, k: q, v: q, mask: null, causal: true }).variant);
  }
  const windows = { name: "", rows: 2, width: 9, batch: 1, sequence: 3, kernel: 3, stride: 2, padding: 1 };
  add("canary", {}, {});
  add("peak_flops", {}, { ROUNDS: 4 });
  add("peak_read", {}, { STRIDE: 256 });
  all.push(kernels.unfold(gpu, { ...windows, input: "x", output: "y" }).variant);
  for (const shader of /** @type {const} */ (["add", "mean_pool", "first_token", "l2_normalize", "softmax"])) {
    all.push(kernels.simple(gpu, shader, { name: "", inputs: [], output: "", rows: 2, hidden: 3 }).variant);
  }
  writing(gpu, add);
  return all;
}
