// out[M, N] = end(a[M, K] * W[N, K]^T), for one row or a few: bound by reading W once.
// TEAM threads make ROWS outputs of MR rows of `a`; each takes a piece of a row of W at a time (16 bytes where
// WVEC), so that what was read is used MR times. STAGED: the workgroup's teams share `a`, BLOCK values of each row at
// a time. FIXED: they share it as whole numbers of 16 bits, in two planes of bytes with a scale for each 16 values:
// a dot product of bytes is exact and takes four codes at once, where f32 arithmetic is bound by unpacking them.
// NORM: `a` is normalized on its way (see rms_norm.wgsl). What an output becomes, and where it goes: row_end.
//#include common
//#include matmul
const ROWS = ${ROWS}u;
const TEAM = ${TEAM}u;
const THREADS = ${THREADS}u;
const BLOCK = ${BLOCK}u;
const PIECE = ${PW * 32 / BITS}u; // codes that a thread takes at a time, in PW words
var<workgroup> partial: array<f32, ${THREADS * (SUBGROUPS + (1 - SUBGROUPS) * ROWS * MR)}>;
//#if FIXED
const PARTS = ${PW * 2 / BITS}u; // spans of 16 values in a piece
const SPANS = ${BLOCK / 16}u;
var<workgroup> high: array<vec4<u32>, ${MR * BLOCK / 16}>;
var<workgroup> low: array<vec4<u32>, ${MR * BLOCK / 16}>;
var<workgroup> about: array<vec2<f32>, ${MR * BLOCK / 16}>; // a span's scale, and its sum
//#else
//#if STAGED
const PARTS = ${PW * 8 / BITS}u; // vectors in a piece
const VECTORS = ${BLOCK / 4}u;
var<workgroup> staged: array<vec4<f32>, ${MR * BLOCK / 4}>;
//#endif
//#endif
//#if NORM
@group(0) @binding(7) var<uniform> gamma: array<vec4<u32>, ${(NORM + 7) / 8}>;
override EPSILON: f32;
var<workgroup> roots: array<f32, ${MR}>;
//#endif
//#include row_end

// Four values of a row of `a`, as they are multiplied.
fn given_a(m0: u32, m: u32, k4: u32) -> vec4<f32> {
//#if NORM
  let pairs = gamma[min(k4 / 2u, ${(NORM + 7) / 8 - 1}u)];
  let pair = select(pairs.xy, pairs.zw, k4 % 2u == 1u);
  return load_a(m0 + m, k4) * roots[m] * vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
//#else
  return load_a(m0 + m, k4);
//#endif
}

//#if FIXED
fn bits_of(x: vec4<f32>) -> vec4<u32> {
  return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

// 16 values as whole numbers v = 256 * high + low, in the order in which codes come out of a word.
fn stage(m0: u32, m: u32, base: u32, span: u32) {
//#for p 0 4
  let x_${p} = given_a(m0, m, base / 4u + span * 4u + ${p}u);
//#endfor
  // The order of floats' bits is their own, and keeps what is no number.
  let bits = max(max(bits_of(x_0), bits_of(x_1)), max(bits_of(x_2), bits_of(x_3)));
  let top = bitcast<f32>(max(max(bits.x, bits.y), max(bits.z, bits.w)));
  let up = select(32639.0 / top, 0.0, top < 1.0e-30);
  var sum = vec4<i32>();
  var lows = vec4<u32>();
  var highs = vec4<u32>();
//#for p 0 4
//#if BITS == 8
  let v_${p} = vec4<i32>(round(x_${p} * up));
//#endif
//#if BITS == 4
  let v_${p} = vec4<i32>(round(vec4<f32>(x_${p / 2 * 2}[${p % 2}], x_${p / 2 * 2}[${p % 2 + 2}], x_${p / 2 * 2 + 1}[${p % 2}], x_${p / 2 * 2 + 1}[${p % 2 + 2}]) * up));
//#endif
//#if BITS == 2
  let v_${p} = vec4<i32>(round(vec4<f32>(x_0[${p}], x_1[${p}], x_2[${p}], x_3[${p}]) * up));
//#endif
  sum += v_${p};
  let high_${p} = (v_${p} + 128) >> vec4<u32>(8u);
  highs[${p}] = pack4xI8(high_${p});
  lows[${p}] = pack4xI8(v_${p} - high_${p} * 256);
//#endfor
  let at = m * SPANS + span % PARTS * (SPANS / PARTS) + span / PARTS;
  high[at] = highs;
  low[at] = lows;
  about[at] = vec2<f32>(top, top * f32(sum.x + sum.y + sum.z + sum.w)) / 32639.0;
}
//#endif

// The words of a piece of a row of W.
//#if WVEC
fn piece_of(row: u32, piece: u32) -> vec4<u32> {
  return codes[row * (WORDS / 4u) + piece];
}
//#else
fn piece_of(row: u32, piece: u32) -> array<u32, ${PW}> {
  var words: array<u32, ${PW}>;
//#for w 0 ${PW}
  if (piece * ${PW}u + ${w}u < WORDS) { words[${w}] = codes[row * WORDS + piece * ${PW}u + ${w}u]; }
//#endfor
  return words;
}
//#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  take_shape();
  let pieces = (WORDS + ${PW - 1}u) / ${PW}u;
  let lane = thread % TEAM;
  let team = group.x * (THREADS / TEAM) + thread / TEAM;
  let m0 = group.y * ${MR}u;
//#for r 0 ${ROWS}
  let row_${r} = row_of(team, ${r}u);
//#for m 0 ${MR}
  var c_${m}_${r} = 0.0;
//#endfor
//#endfor
//#if AHEAD
  // The first piece of each row is on its way while the activations are made ready, each next one meanwhile.
//#for r 0 ${ROWS}
  var words_next_${r} = piece_of(row_${r}, min(lane, pieces - 1u));
//#for g 0 ${SCALES}
  var scale_next_${r}_${g} = scale_of(row_${r}, min(lane, pieces - 1u) * ${PW}u + ${g * GROUP_WORDS}u);
//#endfor
//#endfor
//#endif
//#if NORM
//#for m 0 ${MR}
  {
    var squares = 0.0;
    for (var k4 = thread; k4 < ${NORM / 4}u; k4 += THREADS) {
      let x = load_a(m0 + ${m}u, k4);
      squares += dot(x, x);
    }
    let total = workgroup_total(thread, squares);
    if (thread == 0u) { roots[${m}] = inverseSqrt(total / ${NORM}.0 + EPSILON); }
    workgroupBarrier();
  }
//#endfor
//#endif
  for (var base = 0u; base < row_codes(); base += BLOCK) {
    let first = base / PIECE;
    let count = min(BLOCK / PIECE, pieces - first);
//#if FIXED
    for (var i = thread; i < ${MR}u * SPANS; i += THREADS) {
      if (base + i % SPANS * 16u < KP) { stage(m0, i / SPANS, base, i % SPANS); }
    }
    workgroupBarrier();
//#else
//#if STAGED
    for (var i = thread; i < ${MR}u * VECTORS; i += THREADS) {
      let k4 = i % VECTORS;
      let at = i / VECTORS * VECTORS + k4 % PARTS * (VECTORS / PARTS) + k4 / PARTS;
      staged[at] = given_a(m0, i / VECTORS, base / 4u + k4);
    }
    workgroupBarrier();
//#endif
//#endif
    for (var p = lane; p < count; p += TEAM) {
      let piece = first + p;
//#if AHEAD
      let after = select(first + count + lane, piece + TEAM, p + TEAM < count);
//#for r 0 ${ROWS}
      let words_${r} = words_next_${r};
      words_next_${r} = piece_of(row_${r}, min(after, pieces - 1u));
//#for g 0 ${SCALES}
      let scale_${r}_${g} = scale_next_${r}_${g};
      scale_next_${r}_${g} = scale_of(row_${r}, min(after, pieces - 1u) * ${PW}u + ${g * GROUP_WORDS}u);
      let zero_${r}_${g} = zero_of(row_${r}, piece * ${PW}u + ${g * GROUP_WORDS}u);
//#endfor
//#endfor
//#else
//#for r 0 ${ROWS}
      let words_${r} = piece_of(row_${r}, piece);
//#for g 0 ${SCALES}
      let scale_${r}_${g} = scale_of(row_${r}, piece * ${PW}u + ${g * GROUP_WORDS}u);
      let zero_${r}_${g} = zero_of(row_${r}, piece * ${PW}u + ${g * GROUP_WORDS}u);
//#endfor
//#endfor
//#endif
//#if FIXED
//#for s 0 ${PW * 2 / BITS}
//#for m 0 ${MR}
      let high_${s}_${m} = high[${m}u * SPANS + ${s}u * (SPANS / PARTS) + p];
      let low_${s}_${m} = low[${m}u * SPANS + ${s}u * (SPANS / PARTS) + p];
      let about_${s}_${m} = about[${m}u * SPANS + ${s}u * (SPANS / PARTS) + p];
//#endfor
//#for r 0 ${ROWS}
      {
        let scale = scale_${r}_${s * 16 / GROUP};
//#for j 0 4
//#if BITS == 8
        let code_${j} = words_${r}[${s * 4 + j}] ^ 0x80808080u;
//#endif
//#if BITS == 4
        let code_${j} = (words_${r}[${s * 2 + j / 2}] >> ${j % 2 * 4}u) & 0x0f0f0f0fu;
//#endif
//#if BITS == 2
        let code_${j} = (words_${r}[${s}] >> ${j * 2}u) & 0x03030303u;
//#endif
//#endfor
//#if BITS == 8
        let zero = zero_${r}_${s * 16 / GROUP} - 128.0;
//#else
        let zero = zero_${r}_${s * 16 / GROUP};
//#endif
//#for m 0 ${MR}
        {
          var large = dot4I8Packed(code_0, high_${s}_${m}.x) + dot4I8Packed(code_1, high_${s}_${m}.y);
          large += dot4I8Packed(code_2, high_${s}_${m}.z) + dot4I8Packed(code_3, high_${s}_${m}.w);
          var small = dot4I8Packed(code_0, low_${s}_${m}.x) + dot4I8Packed(code_1, low_${s}_${m}.y);
          small += dot4I8Packed(code_2, low_${s}_${m}.z) + dot4I8Packed(code_3, low_${s}_${m}.w);
          c_${m}_${r} += scale * (about_${s}_${m}.x * f32(large * 256 + small) - zero * about_${s}_${m}.y);
        }
//#endfor
      }
//#endfor
//#endfor
//#else
//#for m 0 ${MR}
//#for x 0 ${PW * 8 / BITS}
//#if STAGED
      let x_${m}_${x} = staged[${m}u * VECTORS + ${x}u * (VECTORS / PARTS) + p];
//#else
      let x_${m}_${x} = given_a(m0, ${m}u, piece * ${PW * 8 / BITS}u + ${x}u);
//#endif
//#endfor
//#if BITS < 16
//#for w 0 ${PW}
      var total_${m}_${w} = 0.0;
//#for p 0 ${8 / BITS + (BITS == 16)}
      total_${m}_${w} += dot(x_${m}_${w * (8 / BITS) + p}, vec4<f32>(1.0));
//#endfor
//#endfor
//#endif
//#endfor
//#for r 0 ${ROWS}
//#if BITS == 16
//#for x 0 ${PW / 2}
      let w_${r}_${x} = vec4<f32>(unpack2x16float(words_${r}[${2 * x}]), unpack2x16float(words_${r}[${2 * x + 1}]));
//#for m 0 ${MR}
      c_${m}_${r} += dot(w_${r}_${x}, x_${m}_${x});
//#endfor
//#endfor
//#else
//#for w 0 ${PW}
      {
        let scale = scale_${r}_${w * 32 / BITS / GROUP};
        let zero = zero_${r}_${w * 32 / BITS / GROUP};
//#for p 0 ${8 / BITS}
        let code_${p} = codes4(words_${r}[${w}], ${p}u);
//#endfor
//#for m 0 ${MR}
        {
          var part = -zero * total_${m}_${w};
//#for p 0 ${8 / BITS}
          part += dot(code_${p}, x_${m}_${w * (8 / BITS) + p});
//#endfor
          c_${m}_${r} += part * scale;
        }
//#endfor
      }
//#endfor
//#endif
//#endfor
//#endif
    }
//#if FIXED || STAGED
    workgroupBarrier();
//#endif
  }
//#if SUBGROUPS
//#for m 0 ${MR}
//#for r 0 ${ROWS}
  let sum_${m}_${r} = subgroupAdd(c_${m}_${r});
//#endfor
//#endfor
//#else
  // One tree for all sums; the first of a team takes the last few by itself, which saves a processor two barriers.
//#for m 0 ${MR}
//#for r 0 ${ROWS}
  partial[${m * ROWS + r}u * THREADS + thread] = c_${m}_${r};
//#endfor
//#endfor
  workgroupBarrier();
  for (var half = TEAM / 2u; half > 2u; half /= 2u) {
    if (lane < half) {
//#for slot 0 ${MR * ROWS}
      partial[${slot}u * THREADS + thread] += partial[${slot}u * THREADS + thread + half];
//#endfor
    }
    workgroupBarrier();
  }
//#for m 0 ${MR}
//#for r 0 ${ROWS}
  var sum_${m}_${r} = 0.0;
//#endfor
//#endfor
  if (lane == 0u) {
    for (var t = thread; t < thread + min(TEAM, 4u); t++) {
//#for m 0 ${MR}
//#for r 0 ${ROWS}
      sum_${m}_${r} += partial[${m * ROWS + r}u * THREADS + t];
//#endfor
//#endfor
    }
  }
//#endif
  if (lane == 0u) {
//#for m 0 ${MR}
    if (m0 + ${m}u < M) {
//#if GATED || TURN
//#for r 0 ${ROWS / 2}
      end_pair(m0 + ${m}u, team, ${r}u, sum_${m}_${2 * r}, sum_${m}_${2 * r + 1});
//#endfor
//#else
//#for r 0 ${ROWS}
      end(m0 + ${m}u, team, ${r}u, sum_${m}_${r});
//#endfor
//#endif
    }
//#endfor
  }
}
