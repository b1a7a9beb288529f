// Packed weights: `codes` [N, WORDS], `scales` [N * GROUPS] as f16 pairs, `zeros` [N, ZERO_WORDS].
// A unit is the least that is decoded at once: UNIT codes in UNIT_WORDS words, as UNIT / 4 vectors.
//#if WVEC
@group(0) @binding(0) var<storage, read> codes: array<vec4<u32>>;
//#else
@group(0) @binding(0) var<storage, read> codes: array<u32>;
//#endif
//#if BITS < 16
@group(0) @binding(1) var<storage, read> scales: array<u32>;
//#endif
//#if ASYMMETRIC
@group(0) @binding(2) var<storage, read> zeros: array<u32>;
//#endif
//#if BITS == 16
const UNIT = 4u;
const UNIT_WORDS = 2u;
//#else
const UNIT = ${32 / BITS}u;
const UNIT_WORDS = 1u;
const GROUP = ${GROUP}u;
const MASK = ${(1 << BITS) - 1}u;
//#endif
// KP is how many codes a row has, padding included.
//#if UNIFORM
var<private> KP: u32;
var<private> WORDS: u32;
var<private> GROUPS: u32;
var<private> UNITS: u32;
// For loops with barriers: a private variable may differ from thread to thread.
fn row_codes() -> u32 {
  return shape.w;
}
fn take_row(codes: u32) {
  KP = codes;
//#if BITS == 16
  WORDS = (KP + 1u) / 2u;
//#else
  WORDS = KP / UNIT;
  GROUPS = KP / GROUP;
//#endif
  UNITS = (WORDS + UNIT_WORDS - 1u) / UNIT_WORDS;
}
//#else
override KP: u32;
fn row_codes() -> u32 {
  return KP;
}
//#if BITS == 16
override WORDS: u32 = (KP + 1u) / 2u;
//#else
override WORDS: u32 = KP / UNIT;
override GROUPS: u32 = KP / GROUP;
//#endif
override UNITS: u32 = (WORDS + UNIT_WORDS - 1u) / UNIT_WORDS;
//#endif

//#if FACTORS
// A power of two for each of up to three joined matrices of PART rows: what f16 cannot reach of their scales.
override PART: u32;
override FACTOR_0: f32;
override FACTOR_1: f32;
override FACTOR_2: f32;
fn factor_of(row: u32) -> f32 {
  return select(select(FACTOR_2, FACTOR_1, row < 2u * PART), FACTOR_0, row < PART);
}
//#endif
//#if BITS < 16
fn scale_of(row: u32, unit: u32) -> f32 {
  let index = row * GROUPS + unit * UNIT / GROUP;
  let scale = unpack2x16float(scales[index >> 1u])[index & 1u];
//#if FACTORS
  return scale * factor_of(row);
//#else
  return scale;
//#endif
}

fn zero_of(row: u32, unit: u32) -> f32 {
//#if ASYMMETRIC
  const PER = ${32 / BITS}u;
  let zero_words = (GROUPS + PER - 1u) / PER;
  let group = unit * UNIT / GROUP;
  return f32((zeros[row * zero_words + group / PER] >> ((group % PER) * ${BITS}u)) & MASK);
//#else
  return ${(1 << BITS) / 2}.0;
//#endif
}

// Codes 4 * part .. 4 * part + 3 of a word, as numbers.
fn codes4(word: u32, part: u32) -> vec4<f32> {
  let shifts = vec4<u32>(0u, ${BITS}u, ${2 * BITS}u, ${3 * BITS}u) + vec4<u32>(part * ${4 * BITS}u);
  return vec4<f32>((vec4<u32>(word) >> shifts) & vec4<u32>(MASK));
}
//#else
//#if !WVEC
fn half4(row: u32, unit: u32) -> vec4<f32> {
  let word = row * WORDS + unit * 2u;
  if (unit * 2u + 1u < WORDS) {
    return vec4<f32>(unpack2x16float(codes[word]), unpack2x16float(codes[word + 1u]));
  }
  return vec4<f32>(unpack2x16float(codes[word]), 0.0, 0.0);
}
//#endif
//#endif
