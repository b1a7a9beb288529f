import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

import { expand } from "../../bench/pages/webgpu/template.js";
import { Seeded } from "./seeded.js";

const none = (name) => assert.fail(`included ${name}`);
const made = (text, values = {}, include = none) => expand(text, values, include);

test("values, conditions, loops and includes", () => {
  assert.equal(made("a${X + 1}b${X * 2 - 1}", { X: 3 }), "a4b5");
  assert.equal(made("//#if X > 2\nyes\n//#else\nno\n//#endif", { X: 3 }), "yes");
  assert.equal(made("//#if X > 2\nyes\n//#else\nno\n//#endif", { X: 2 }), "no");
  assert.equal(made("//#for i 0 ${N}\nx_${i}\n//#for j i ${N}\ny_${i}${j}\n//#endfor\n//#endfor", { N: 2 }), "x_0\ny_00\ny_01\nx_1\ny_11");
  assert.equal(made("//#for i 0 0\nnever ${UNKNOWN}\n//#endfor", {}), "");
  assert.equal(made("//#include part\nend", { X: 1 }, (name) => (name === "part" ? "got ${X}" : assert.fail(name))), "got 1\nend");
});

test("a name without a value is 0 in a condition and an error in a text", () => {
  assert.equal(made("//#if UNKNOWN || !OTHER\nyes\n//#endif"), "yes");
  assert.throws(() => made("x${UNKNOWN}"), /UNKNOWN in "UNKNOWN" has no value/);
  assert.throws(() => made("//#for i 0 ${N}\n//#endfor"), /N in "N" has no value/);
});

test("what is not closed, closes nothing or is unknown is said with its line", () => {
  assert.throws(() => made("a\n//#if X\nb"), /if is never closed/);
  assert.throws(() => made("//#for i 0 2\nb"), /for is never closed/);
  assert.throws(() => made("a\n//#endif"), /line 2: \/\/#endif closes nothing/);
  assert.throws(() => made("//#if X\n//#endfor"), /line 2: expected \/\/#endif/);
  assert.throws(() => made("//#for i 0 2\n//#else\n//#endfor"), /line 2: expected \/\/#endfor/);
  assert.throws(() => made("//#loop 3"), /line 1: unknown directive \/\/#loop/);
  assert.throws(() => made("${1 2}"), /cannot read "1 2"/);
  assert.throws(() => made("${1 +}"), /has no value/);
});

/** Each operator, and what it makes of two whole numbers. */
const OPERATORS = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => Math.trunc(a / b),
  "%": (a, b) => a % b,
  "<<": (a, b) => a << b,
  "<": (a, b) => Number(a < b),
  ">": (a, b) => Number(a > b),
  "<=": (a, b) => Number(a <= b),
  ">=": (a, b) => Number(a >= b),
  "==": (a, b) => Number(a === b),
  "!=": (a, b) => Number(a !== b),
  "&&": (a, b) => Number(Boolean(a && b)),
  "||": (a, b) => Number(Boolean(a || b)),
};

test("arithmetic is on whole numbers, division truncates, a comparison is 0 or 1", () => {
  const random = new Seeded(7);
  /** @returns {[string, number]} a text and what it comes to */
  const grow = (depth) => {
    if (depth === 0) {
      const value = random.whole(0, 9);
      return [String(value), value];
    }
    const [[left, a], [right, b]] = [grow(depth - 1), grow(random.whole(0, depth - 1))];
    const sign = random.of(Object.keys(OPERATORS));
    if ("/%".includes(sign) && b === 0) return [left, a];
    if (sign === "<<" && (b < 0 || b > 8)) return [`!${left}`, Number(!a)];
    return [`(${left} ${sign} ${right})`, OPERATORS[sign](a, b) + 0];
  };
  for (let i = 0; i < 2000; i++) {
    const [text, wanted] = grow(random.whole(1, 4));
    assert.equal(Number(made(`\${${text}}`)), wanted, text);
  }
});

test("operators bind as in JavaScript, and from the left", () => {
  for (const [text, wanted] of [
    ["2 + 3 * 4", 14], ["20 - 3 - 4", 13], ["1 << 2 + 1", 8], ["7 / 2 * 2", 6], ["1 + 1 == 2 && 3 > 2", 1],
    ["0 || 1 && 0", 0], ["-7 / 2", -3], ["!0 + 1", 2], ["4 - -3", 7], ["(1 << 4) - 1", 15],
  ]) {
    assert.equal(Number(made(`\${${text}}`)), wanted, text);
  }
});

test("every shader expands, for each width of weights, and no directive or substitution is left", () => {
  const folder = new URL("../../bench/shaders/", import.meta.url);
  const read = (name) => readFileSync(new URL(`${name}.wgsl`, folder), "utf-8");
  const names = readdirSync(folder).filter((name) => name.endsWith(".wgsl") && !name.includes(".inc."));
  assert.ok(names.length >= 10);
  for (const bits of [16, 8, 4, 2]) {
    const tile = { BM: 32, BN: 32, BK: 64, TM: 2, TN: 2, TURN: 8, UNIT: bits === 16 ? 4 : 32 / bits, PREFETCH: 1 };
    const attention = { D: 32, TQ: 16, TK: 32, RQ: 2, RK: 4, VEC: 4, POWER: 64, SPLITS: 2 };
    const row = { MR: 2, TEAM: 32, PW: 4, BLOCK: 128, SUBGROUPS: 0, NORM: 0, FIXED: bits < 16 ? 1 : 0, AHEAD: 1, LOADS: 8, EACH: 3, SCALES: bits < 16 ? 1 : 0, GROUP_WORDS: bits };
    const matrix = { SM: 16, SN: 16, SLICES: 2, MM: 16, MN: 16, MK: 16, LANES: 32, A_LOADS: 2, W_LOADS: 2 };
    const values = { MATRICES: 1, BITS: bits, GROUP: 32, ASYMMETRIC: 1, BIAS: 1, ACT: 1, KVEC: 1, WVEC: 1, ROWS: 4, THREADS: 64, F16: 1, ...tile, ...attention, ...row, ...matrix };
    for (const name of names) {
      for (const WINDOW of name.startsWith("matmul_") ? [0, 1] : [0]) {
        const text = expand(read(name.slice(0, -5)), { ...values, WINDOW, KERNEL: 3 }, (part) => read(`${part}.inc`));
        assert.doesNotMatch(text, /\/\/#|\$\{/, `${name} at ${bits} bits`);
        assert.match(text, /@compute/, name);
        assert.equal(text.match(/fn load_a\(/g)?.length ?? 0, name.startsWith("matmul_") ? 1 : 0, name);
      }
    }
  }
});
