import { grid } from "./kernels.js";
import { reduction } from "./tuning.js";

/** @import {Columns, Constants, Dispatch, Resource} from "./kernels.js" */
/** @import {Gpu} from "./device.js" */
/** @import {Planner} from "./plan.js" */
/** @import {GraphNode} from "../runtime/types.d.ts" */

/** Values whose loads a thread has on their way at once. */
const LOADS = 8;
/** Bytes of workgroup memory that a thread takes: two numbers and a part of the sum. */
const ROW_BYTES = 24;
/**
 * Workgroups that share the keys of a head. With a long cache and few heads a large GPU is idle with one a head: more
 * are to be expected faster there from, say, a capacity of 1,024 with fewer than 128 heads on. Nobody has timed that
 * on a GPU yet, so there are more only where `tuning.SPLITS` says so. A processor is never short of work.
 */
const SPLITS = 1;

/**
 * How many threads attend for a head of one row, and whether they reduce by subgroups: more where the cache is long.
 * @param {Gpu} gpu @param {number} columns of a head @param {number} capacity of the cache, or of a workgroup's share
 * @param {Record<string, number>} tuning
 */
export function rowAttentionForm(gpu, columns, capacity, tuning = {}) {
  const { maxComputeInvocationsPerWorkgroup: invocations, maxComputeWorkgroupStorageSize: shared } = gpu.device.limits;
  const most = Math.min(invocations, Math.floor((shared - 16 * columns) / ROW_BYTES));
  const wanted = [1024, 512].find((threads) => threads <= most && 2 * threads <= capacity) ?? 256;
  const THREADS = gpu.software ? columns : Math.max(wanted, columns);
  const POWER = 2 ** Math.ceil(Math.log2(THREADS));
  return { THREADS, POWER, LOADS: tuning.LOADS ?? (gpu.software ? 1 : LOADS), ...reduction(gpu, THREADS) };
}

/**
 * Attention of a few rows to a cache: a workgroup a head of a row, or several and a dispatch that joins what they found.
 * @param {Planner} planner @param {GraphNode} node
 * @param {{from: Columns, narrow: number, capacity: number}} cache `from`: where q lies; `narrow`: columns of the cache
 */
export function rowAttention(planner, node, { from, narrow, capacity }) {
  const { gpu, tuning } = planner;
  const [, , , keyCache, valueCache, length] = node.inputs;
  const [rows, width] = node.shape;
  const heads = Number(node.attrs.heads);
  const d = width / heads;
  const splits = tuning.SPLITS ?? SPLITS;
  const VEC = d % 4 === 0 && from.stride % 4 === 0 && from.offset % 4 === 0 ? 4 : 1;
  const share = heads / Number(node.attrs.kv_heads);
  const formOf = (/** @type {Constants} */ given) => rowAttentionForm(gpu, d / VEC, capacity / splits, given);
  const constants = {
    SCALE: Number(node.attrs.scale),
    SHARE: share,
    CAPACITY: capacity,
    K_STRIDE: narrow / VEC,
    Q_STRIDE: from.stride / VEC,
    Q_OFFSET: from.offset / VEC,
    ...(splits > 1 ? {} : { O_STRIDE: width / VEC }),
  };
  const parts = `${node.output}.parts`;
  const output = splits > 1 ? parts : node.output;
  const bindings = /** @type {[number, Resource][]} */ (
    [from.value, keyCache, valueCache, length, output].map((value, slot) => [slot, { value }])
  );
  /** @type {(given: Constants) => Dispatch} */
  const make = (given) => ({
    name: splits > 1 ? parts : node.name,
    variant: { shader: "attention_row", values: { D: d, VEC, ...formOf(given), ...(splits > 1 ? { SPLITS: splits } : {}) }, constants },
    groups: [heads, rows, splits],
    bindings,
    // Of a cache that is full; how much of it is filled is not known before it runs.
    flops: 4 * rows * capacity * width,
    bytes: planner.scalar * 2 * (capacity * narrow + rows * width),
  });
  const key = `attention ${rows} in a cache of ${capacity}, ${heads} heads of ${d} ${share} a head`;
  const dispatch = planner.tuned(splits > 1 ? `${key} ${splits} splits` : key, make);
  if (splits === 1) {
    planner.push(dispatch, output, rows * width);
    return;
  }
  const count = rows * heads * splits * (d + 2);
  planner.push(dispatch, parts, count, true);
  planner.push(
    {
      name: node.name,
      variant: { shader: "attention_parts", values: { D: d, SPLITS: splits }, constants: { COUNT: rows * width } },
      groups: grid(rows * width, 64),
      bindings: [[0, { value: parts }], [1, { value: node.output }]],
      flops: 4 * rows * width * splits,
      bytes: 4 * count + planner.scalar * rows * width,
    },
    node.output,
    rows * width,
  );
}
