import { ACTIVATIONS, TOLD, blocks } from "./kernels.js";
import { SOFTWARE_PREFETCH, chooseTile, turnOf } from "./tuning.js";

/** @import {Gpu} from "./device.js" */
/** @import {Dispatch, Resource} from "./kernels.js" */
/** @import {MatmulSpec, Shared} from "./matmul.js" */

/**
 * The kernel for many rows.
 * @param {Gpu} gpu
 * @param {MatmulSpec} spec
 * @param {Shared} shared
 * @returns {Pick<Dispatch, "variant" | "groups" | "bindings">}
 */
export function tileMatmul(gpu, spec, { values, constants, bindings }) {
  const { m, n, quant, tuning } = spec;
  const tile = chooseTile(m, n, gpu.software, tuning, gpu.device.limits.maxComputeWorkgroupStorageSize);
  const threads = (tile.BM / tile.TM) * (tile.BN / tile.TN);
  const whole = [tile.BM / tile.TM, tile.BN / tile.TN].every(Number.isInteger);
  if (!whole || (tile.BM * tile.BK) / 4 / threads < 1 || (tile.BM * tile.BK) % (4 * threads)) {
    throw new Error(`matmul_tile: ${JSON.stringify(tile)} does not divide among its threads`);
  }
  const UNIT = quant.bits === 16 ? 4 : 32 / quant.bits;
  // One pipeline for every shape and every activation, where making one takes long.
  const told = /** @type {Record<string, number>} */ (values.UNIFORM ? { ACT: TOLD } : {});
  const kind = /** @type {[number, Resource][]} */ (values.UNIFORM ? [[13, { words: [ACTIVATIONS[spec.act], 0, 0, 0] }]] : []);
  const PREFETCH = tuning.PREFETCH ?? (gpu.software ? SOFTWARE_PREFETCH : 1);
  return {
    variant: { shader: "matmul_tile", values: { ...values, ...told, ...tile, UNIT, TURN: turnOf(tile), PREFETCH }, constants },
    groups: [blocks(n, tile.BN), blocks(m, tile.BM), 1],
    bindings: [...bindings, ...kind],
  };
}
