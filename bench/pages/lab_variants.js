import { attention } from "./webgpu/attention.js";
import * as kernels from "./webgpu/kernels.js";
import { matmul } from "./webgpu/matmul.js";
import { rowAttentionForm } from "./webgpu/attention_row.js";
import { MATRIX_TILES, matrixBytes, matrixThreads } from "./webgpu/matmul_matrix.js";
import { SOFTWARE_TILES, TILES, WIDE_TILE, normForm, tileBytes } from "./webgpu/tuning.js";

/** @import {Gpu} from "./webgpu/device.js" */
/** @import {Variant} from "./webgpu/pipelines.js" */

/**
 * The variants of a language model's kernels.
 * @param {Gpu} gpu @param {(shader: string, values: any, constants: any) => void} add
 */
function writing(gpu, add) {
  const norm = { H: 200, EPSILON: 1e-5, GROUPS: 1, STRIDE: 200, OFFSET: 0 };
  const strides = { Q_STRIDE: 4, Q_OFFSET: 0, K_STRIDE: 4, K_OFFSET: 0, V_STRIDE: 4, V_OFFSET: 0 };
  for (const wide of gpu.f16 ? [0, 1] : [0]) {
    for (const [ADD, SUM] of [[0, 0], [1, 0], [1, 1]]) {
      for (const EACH of [0, 1]) {
        const form = normForm(gpu, norm.H, { NORM_THREADS: 64, EACH });
        add("rms_norm", { ...form, ADD, SUM, WIDE: wide, WIDE_B: wide, WIDE_OUT: wide }, norm);
      }
    }
    add("last_token", { WIDE: wide }, { T: 2, H: 3 });
    add("best_of_part", { THREADS: 64, WIDE: wide }, { V: 9, PART: 5 });
    add("add", { WIDE_A: wide, WIDE_B: wide, WIDE: wide }, { COUNT: 7 });
  }
  for (const [TURN, Q, KV] of [[1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 0, 1]]) {
    add("rope", { TURN, Q, KV }, { D: 4, T: 1, HEADS: Q, KV_HEADS: KV, CAPACITY: 3, ...strides });
  }
  for (const [D, VEC, capacity] of [[64, 4, 9], [128, 4, 4096], [10, 1, 1500]]) {
    const values = { D, VEC, ...rowAttentionForm(gpu, D / VEC, capacity) };
    const sizes = { SCALE: 1, SHARE: 1, CAPACITY: 9, K_STRIDE: D / VEC, Q_STRIDE: D / VEC, Q_OFFSET: 0 };
    add("attention_row", values, { ...sizes, O_STRIDE: D / VEC });
    add("attention_row", { ...values, SPLITS: 4 }, sizes);
    add("attention_parts", { D, SPLITS: 4 }, { COUNT: D });
  }
  add("multiply", { ACT: 6 }, { COUNT: 7, N: 7, A_STRIDE: 7, A_OFFSET: 0, B_STRIDE: 7, B_OFFSET: 0 });
  add("next_token", { THREADS: 64 }, { PARTS: 2, COUNT: 1, POSITIONS: 3 });
}

/** What is forced to get each form of the kernel for a few rows. @param {Gpu} gpu */
function rowForms(gpu) {
  const forms = [{ FIXED: 0, STAGED: 0 }, { FIXED: 0, STAGED: 1 }, ...(gpu.dp4a ? [{ FIXED: 1 }] : [])];
  return forms.flatMap((form) => (gpu.subgroups ? [0, 1] : [0]).map((SUBGROUPS) => ({ ...form, SUBGROUPS })));
}

/** Every kind of matmul that a plan can ask for. @param {Gpu} gpu @returns {Variant[]} */
function matmuls(gpu) {
  /** @type {Variant[]} */
  const all = [];
  const limits = gpu.device.limits;
  const add = (/** @type {any} */ more) => {
    const { bits = 4, scheme = "symmetric", k = 128 } = more;
    const quant = { bits, group_size: 32, scheme, k, kp: bits === 16 ? Math.ceil(k / 2) * 2 : Math.ceil(k / 32) * 32 };
    const spec = { name: "", m: 9, n: 8, quant, weights: ["w"], bias: null, act: "none", input: "x", output: "y", tuning: {} };
    all.push(matmul(gpu, { ...spec, ...more }).variant);
  };
  const fits = MATRIX_TILES.filter((tile) => {
    return matrixBytes(tile) <= limits.maxComputeWorkgroupStorageSize && matrixThreads(tile, 32) <= limits.maxComputeInvocationsPerWorkgroup;
  });
  const matrices = gpu.f16 ? fits.map((tile) => ({ ...tile, ...(gpu.matrices.length ? {} : { MATRICES: 0 }) })) : [];
  for (const bits of [16, 8, 4, 2]) {
    for (const scheme of bits === 16 ? ["symmetric"] : ["symmetric", "asymmetric"]) {
      for (const [k, bias] of /** @type {const} */ ([[100, null], [128, ["b"]]])) {
        for (const PREFETCH of k === 128 ? [0, 1] : [0]) add({ bits, scheme, k, bias, tuning: { ...(gpu.software && !PREFETCH ? SOFTWARE_TILES[1] : TILES[1]), PREFETCH } });
        for (const tuning of rowForms(gpu)) add({ bits, scheme, k, bias, m: 1, tuning });
        if (matrices.length) add({ bits, scheme, k, bias, tuning: matrices[0] });
      }
    }
  }
  for (const act of Object.keys(kernels.ACTIVATIONS)) add({ act });
  const tiles = [...TILES, WIDE_TILE].filter((tile) => tileBytes(tile) <= gpu.device.limits.maxComputeWorkgroupStorageSize);
  for (const tuning of [...tiles.map((tile) => ({ ...tile, PREFETCH: 1 })), ...matrices]) add({ tuning });
  const wide = { wide: gpu.f16, wideInput: gpu.f16 };
  const constants = { D: 4, HEADS: 1, KV_HEADS: 1, CAPACITY: 9 };
  const turn = { table: "t", length: "l", caches: ["k", "v"], constants };
  for (const tuning of rowForms(gpu).map((form) => ({ ...form, ROWS: 2 }))) {
    for (const bits of [16, 4]) {
      const norm = { gamma: "g", epsilon: 1e-5 };
      const few = { bits, m: 2, tuning };
      add({ ...few, ...wide, residual: "r" });
      add({ ...few, norm, gated: true, act: "silu", wideInput: gpu.f16 });
      add({ ...few, norm, turn, wideInput: gpu.f16 });
    }
  }
  add({ ...wide });
  for (const m of [1, 9]) for (const bits of [16, 4]) add({ m, bits, tuning: { UNIFORM: 1 } });
  const window = { batch: 1, sequence: 9, kernel: 3, stride: 1, padding: 1 };
  for (const UNIFORM of [0, 1]) {
    for (const tuning of [{ ...(gpu.software ? SOFTWARE_TILES[1] : TILES[1]) }, ...matrices.slice(0, 1)]) {
      for (const wideInput of gpu.f16 ? [false, true] : [false]) add({ k: 96, window, wideInput, tuning: { ...tuning, UNIFORM } });
    }
  }
  add({ bits: 8, m: 1, exponents: [1, 2], n: 8, weights: ["w", "v"] });
  return all;
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
  for (const packing of packings) {
    for (const ADD of [0, 1]) add("embedding", { ...packing, ADD }, { R: 4, H: 128, V: 9, KP: 128 });
  }
  for (const ACT of Object.values(kernels.ACTIVATIONS)) add("activation", { ACT }, { COUNT: 7 });
  all.push(...matmuls(gpu));
  for (const [ADD, EACH] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
    add("layer_norm", { ADD, ...normForm(gpu, 200, { NORM_THREADS: 64, EACH }) }, { H: 200, EPSILON: 1e-12 });
  }
  for (const d of [1, 12, 64, 128, 256]) {
    const spec = { name: "", batch: 1, sequence: 3, heads: 1, hidden: d, scale: 1, mask: "m", output: "o" };
    const q = { value: "q", stride: d, offset: 0 };
    all.push(attention(gpu, { ...spec, q, k: q, v: q }).variant);
    all.push(attention(gpu, { ...spec, q, k: q, v: q, mask: null, keys: 5 }).variant);
    all.push(attention(gpu, { ...spec, q, k: q, v: q, mask: null, causal: true }).variant);
    if (d % 16 || !gpu.f16 || d > 128) continue;
    const many = { ...spec, q, k: q, v: q, sequence: 40, ...(gpu.matrices.length ? {} : { tuning: { MATRICES: 0 } }) };
    const cache = { length: "l", capacity: 99, share: 1 };
    for (const more of [{}, { mask: null }, { mask: null, causal: true }, { mask: null, causal: true, cache }]) {
      all.push(attention(gpu, { ...many, ...more }).variant);
    }
  }
  const windows = { name: "", rows: 2, width: 9, batch: 1, sequence: 3, kernel: 3, stride: 2, padding: 1 };
  add("canary", {}, {});
  add("peak_flops", {}, { ROUNDS: 4 });
  add("peak_read", {}, { STRIDE: 256 });
  all.push(kernels.unfold(gpu, { ...windows, input: "x", output: "y" }).variant);
  all.push(kernels.unfold(gpu, { ...windows, input: "x", output: "y", tuning: { UNFOLD_THREADS: 32 } }).variant);
  for (const shader of /** @type {const} */ (["add", "mean_pool", "first_token", "l2_normalize", "softmax"])) {
    all.push(kernels.simple(gpu, shader, { name: "", inputs: [], output: "", rows: 2, hidden: 3 }).variant);
  }
  writing(gpu, add);
  return all;
}
