/**
 * When samples are steady, and how well their median is known. The same rules as `bench/stats/steady.py` and
 * `bench/stats/summary.py`, where their sources stand; `tests/data/steady.json` holds both to the same answers.
 */

/** Fewest samples that can tell: two halves of four. */
const FEWEST = 8;
/** How far the first half's mean may lie from the second's, as parts of the second's. */
const MEAN = [-0.5, 0.1];
const QUARTILE = 0.05;
const SPREAD = 0.1;
/** In each half: the spread of fewer is too uncertain to compare. */
const FEWEST_SPREAD = 10;
/** Standard errors by which noise alone may pass a limit. */
const WIDER = 3;
/** Standard errors of a normal sample's quartile and MAD, as multiples of sd / sqrt(n) and of itself. */
const OF_QUARTILE = 1.3626;
const OF_MAD = 1.1664;
/** From a normal's median absolute deviation to its standard deviation. */
const TO_SD = 1.4826;

/** @param {number[]} values @param {number} q */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}

/**
 * Ends of the 95 % interval of the median, from order statistics and the exact binomial; null where so few samples
 * cannot cover that much. For at most 1000 samples.
 * @param {number[]} values
 * @returns {[number, number] | null}
 */
export function medianInterval(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  let term = 0.5 ** n; // the chance that exactly `rank` of n samples lie below the median
  let below = 0;
  let rank = 0;
  while (rank < Math.floor(n / 2)) {
    below += term;
    if (below > 0.025) break;
    term *= (n - rank) / (rank + 1);
    rank++;
  }
  return rank === 0 ? null : [sorted[rank - 1], sorted[n - rank]];
}

/** Half-width of that interval over the median; Infinity where there is none. @param {number[]} values */
export function relativeHalfWidth(values) {
  const interval = medianInterval(values);
  return interval === null ? Infinity : (interval[1] - interval[0]) / 2 / quantile(values, 0.5);
}

/**
 * Whether samples in the order they were taken show no warm-up, drift or change of spread.
 * @param {number[]} values
 */
export function isSteady(values) {
  if (values.length < FEWEST) return false;
  const rest = values.slice(1);
  const [low, high] = [quantile(rest, 0.25), quantile(rest, 0.75)];
  if (values[0] > high + 1.5 * (high - low) && values[0] > Math.max(...rest)) return false;
  const half = Math.ceil(values.length / 2);
  const [first, second] = [values.slice(0, half), values.slice(half)];
  const spreads = [spread(first), spread(second)];
  const noise = (Math.max(...spreads) / quantile(second, 0.5)) * Math.sqrt(2 / second.length);
  return meanStays(first, second) && quartilesStay(first, second, noise) && spreadStays(spreads, second.length);
}

/** @param {number[]} first @param {number[]} second */
function meanStays(first, second) {
  const apart = mean(first) / mean(second) - 1;
  const error = Math.sqrt(variance(first) / first.length + variance(second) / second.length) / mean(second);
  return MEAN[0] <= apart && apart <= Math.max(MEAN[1], WIDER * error);
}

/** @param {number[]} first @param {number[]} second @param {number} noise */
function quartilesStay(first, second, noise) {
  const limit = Math.max(QUARTILE, WIDER * OF_QUARTILE * noise);
  return [0.25, 0.75].every((q) => Math.abs(quantile(first, q) / quantile(second, q) - 1) <= limit);
}

/** A coarse clock gives halves of equal samples: no spread, and nothing to compare. @param {number[]} spreads @param {number} n */
function spreadStays([before, after], n) {
  if (Math.min(before, after) === 0 || n < FEWEST_SPREAD) return true;
  const limit = Math.max(Math.log1p(SPREAD), WIDER * OF_MAD * Math.sqrt(2 / n));
  return Math.abs(Math.log(before / after)) <= limit;
}

/** @param {number[]} values */
function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @param {number[]} values */
function variance(values) {
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1);
}

/** Standard deviation by the median absolute deviation. @param {number[]} values */
function spread(values) {
  const middle = quantile(values, 0.5);
  return TO_SD * quantile(values.map((value) => Math.abs(value - middle)), 0.5);
}
