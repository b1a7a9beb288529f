/** @import {Format, Formats} from "./types.d.ts" */

/** Of our own kernels and graphs; a test holds it to the package's. */
export const VERSION = "0.1.0";

/** Digits of a hash that a row shows: 64 bits, which no two of ours share. */
const DIGITS = 16;

/**
 * What ran the model: SHA-256 over the texts of shaders and page modules, over the forced constants, in the order
 * of their names, and over those that were found for single kernels. Two runs with another hash are of other arms.
 * @param {Map<string, string>} texts file name -> text
 * @param {Record<string, number>} tuning
 * @param {Record<string, Record<string, number>>} [found] by the kernels' keys
 * @returns {Promise<string>}
 */
export async function kernelsHash(texts, tuning, found = {}) {
  const sorted = (/** @type {[string, any][]} */ pairs) => pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const single = sorted(Object.entries(found)).map(([key, constants]) => [key, sorted(Object.entries(constants))]);
  const text = JSON.stringify([sorted([...texts]), sorted(Object.entries(tuning)), ...(single.length ? [single] : [])]);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("").slice(0, DIGITS);
}

/** The value that all share, or null. @template T @param {T[]} values @returns {T | null} */
function only(values) {
  return values.every((value) => value === values[0]) ? (values[0] ?? null) : null;
}

/** @param {Format} format */
function shown({ bits, group_size, scheme }) {
  const groups = group_size === null ? "a scale a row" : `groups of ${group_size}`;
  return bits >= 16 ? String(bits) : `${bits} bits, ${groups}, ${scheme}`;
}

/**
 * What a backend's matrices come to. `bits` is the least of them: mixed precision gives single matrices more. The mean
 * counts parameters. `matrices` holds the most frequent format, and every matrix that has another.
 * @param {Formats} formats matrix -> format as it ran
 */
export function summary(formats) {
  const all = [...formats.values()];
  const packed = all.filter((format) => format.bits < 16);
  const parameters = all.reduce((sum, format) => sum + format.parameters, 0);
  const weighted = all.reduce((sum, format) => sum + format.bits * format.parameters, 0);
  const counts = new Map();
  for (const format of all) counts.set(shown(format), (counts.get(shown(format)) ?? 0) + 1);
  const usual = [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
  const others = [...formats].filter(([, format]) => shown(format) !== usual);
  return {
    bits: all.length ? Math.min(...all.map((format) => format.bits)) : null,
    bits_mean: parameters ? weighted / parameters : null,
    group_size: only(packed.map((format) => format.group_size)),
    scheme: only(packed.map((format) => format.scheme)),
    matrices: { usual, ...Object.fromEntries(others.map(([name, format]) => [name, shown(format)])) },
  };
}
