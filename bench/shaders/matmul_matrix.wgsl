// out[M, N] = act(a[M, K] * W[N, K]^T + bias), for many rows, by matrix units: products of halves, sums in f32.
// A workgroup makes a BM x BN tile, a subgroup an SM x SN part of it from one of SLICES slices of each step's K.
// Both operands are staged in workgroup memory as halves, eight a vector, rows eight halves apart more than they are
// long so that a column of them meets every bank; the next step's parts wait in registers meanwhile.
// Packed weights come out of a word as pairs (k, k + 4) of eight, so `a` is staged in that order too.
// Without MATRICES the same sums are made by hand: so what is staged is tested where there are no matrix units.
//#include common
//#include matmul
const BM = ${BM}u;
const BN = ${BN}u;
const BK = ${BK}u;
const ROW = ${BK / 8 + 1}u; // vectors from one staged row to the next
const SUBGROUPS_OF = ${BM / SM * (BN / SN)}u; // in a slice
const THREADS = ${THREADS}u; // each loads A_LOADS vectors of `a` and W_LOADS pieces of W a step
const PIECE = ${PW * 32 / BITS}u; // codes that a thread takes at a time
const PIECES = ${BK / (PW * 32 / BITS)}u; // in a row of the tile
var<workgroup> tile_a: array<vec4<u32>, BM * ROW>;
var<workgroup> tile_w: array<vec4<u32>, BN * ROW>;
var<workgroup> sums: array<f32, ${BM / SM * (BN / SN) * SLICES * MM * MN}>;

// Eight activations as halves.
fn load_8(row: u32, k8: u32) -> vec4<u32> {
//#if RAW
  var v = vec4<u32>();
  if (row < M && k8 * 8u < K) { v = a[row * (K / 8u) + k8]; }
//#if BITS < 16
  return vec4<u32>(
    (v.x & 0xffffu) | (v.z << 16u), (v.x >> 16u) | (v.z & 0xffff0000u),
    (v.y & 0xffffu) | (v.w << 16u), (v.y >> 16u) | (v.w & 0xffff0000u),
  );
//#else
  return v;
//#endif
//#else
  let x = load_a(row, k8 * 2u);
  let y = load_a(row, k8 * 2u + 1u);
//#if BITS < 16
  return vec4<u32>(
    pack2x16float(vec2<f32>(x.x, y.x)), pack2x16float(vec2<f32>(x.y, y.y)),
    pack2x16float(vec2<f32>(x.z, y.z)), pack2x16float(vec2<f32>(x.w, y.w)),
  );
//#else
  return vec4<u32>(pack2x16float(x.xy), pack2x16float(x.zw), pack2x16float(y.xy), pack2x16float(y.zw));
//#endif
//#endif
}

// A piece of a row of W on its way, with the scales and zero points of its groups; all zeros outside.
struct Piece {
  words: vec4<u32>,
//#if BITS < 16
  scales: vec2<f16>,
  zeros: vec2<f16>, // what a code's half is beyond its value: 1024 more than the zero point
//#endif
}

fn load_w(row: u32, piece: u32) -> Piece {
  var p = Piece();
  if (row < N && piece * ${PW}u < WORDS) {
//#if WVEC
    p.words = codes[row * (WORDS / 4u) + piece];
//#else
//#for w 0 ${PW}
    if (piece * ${PW}u + ${w}u < WORDS) { p.words[${w}] = codes[row * WORDS + piece * ${PW}u + ${w}u]; }
//#endfor
//#endif
//#if BITS < 16
//#for g 0 ${(PW * 32 / BITS + GROUP - 1) / GROUP}
    p.scales[${g}] = half_scale(row, piece * ${PW}u + ${g * GROUP * BITS / 32}u);
    p.zeros[${g}] = f16(1024.0 + zero_of(row, piece * ${PW}u + ${g * GROUP * BITS / 32}u));
//#endfor
//#endif
  }
  return p;
}

//#if BITS < 16
fn half_scale(row: u32, unit: u32) -> f16 {
  let index = row * GROUPS + unit * UNIT / GROUP;
  return halves_of(scales[index >> 1u])[index & 1u];
}

//#if MATRICES
fn halves_of(word: u32) -> vec2<f16> {
  return bitcast<vec2<f16>>(word);
}

fn word_of(halves: vec2<f16>) -> u32 {
  return bitcast<u32>(halves);
}
//#else
// Not every browser knows a bitcast between the two.
fn halves_of(word: u32) -> vec2<f16> {
  return vec2<f16>(unpack2x16float(word));
}

fn word_of(halves: vec2<f16>) -> u32 {
  return pack2x16float(vec2<f32>(halves));
}
//#endif

// Two codes as halves: 1024 + code has the code in its last bits.
fn pair(code: u32, scale: f16, zero: f16) -> u32 {
  return word_of((halves_of(code | 0x64006400u) - vec2<f16>(zero)) * scale);
}
//#endif

fn keep_w(column: u32, piece: u32, p: Piece) {
//#for q 0 ${PW * 4 / BITS}
  {
//#if BITS == 16
    let eight = p.words;
//#else
    let scale = p.scales[${q * 8 / GROUP}];
    let zero = p.zeros[${q * 8 / GROUP}];
    var eight: vec4<u32>;
//#if BITS == 2
    let bits = extractBits(p.words[${q / 2}], ${q % 2 * 16}u, 16u);
    let both = (bits & 0xffu) | ((bits & 0xff00u) << 8u);
//#endif
//#for j 0 4
//#if BITS == 8
    eight[${j}] = pair(extractBits(p.words[${2 * q}], ${8 * j}u, 8u) | (extractBits(p.words[${2 * q + 1}], ${8 * j}u, 8u) << 16u), scale, zero);
//#endif
//#if BITS == 4
    eight[${j}] = pair((p.words[${q}] >> ${4 * j}u) & 0x000f000fu, scale, zero);
//#endif
//#if BITS == 2
    eight[${j}] = pair((both >> ${2 * j}u) & 0x00030003u, scale, zero);
//#endif
//#endfor
//#endif
    tile_w[column * ROW + piece * (PIECE / 8u) + ${q}u] = eight;
  }
//#endfor
}

//#if !MATRICES
// The lane's share of a product of MM x MK and MK x MN halves: elements lane, lane + LANES, ...
fn by_hand(c: array<f32, ${MM * MN / LANES}>, at_a: u32, at_w: u32, lane: u32) -> array<f32, ${MM * MN / LANES}> {
  var sum = c;
  for (var e = 0u; e < ${MM * MN / LANES}u; e++) {
    let row = (lane + e * ${LANES}u) / ${MN}u;
    let column = (lane + e * ${LANES}u) % ${MN}u;
    for (var k8 = 0u; k8 < ${MK / 8}u; k8++) {
      let x = tile_a[at_a + row * ROW + k8];
      let y = tile_w[at_w + column * ROW + k8];
      for (var i = 0u; i < 4u; i++) {
        sum[e] += dot(unpack2x16float(x[i]), unpack2x16float(y[i]));
      }
    }
  }
  return sum;
}
//#endif

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
//#if MATRICES
  @builtin(subgroup_id) subgroup: u32,
//#endif
) {
//#if !MATRICES
  let subgroup = thread / ${LANES}u;
//#endif
  take_shape();
  let lane = thread % ${LANES}u;
  let row0 = group.y * BM;
  let col0 = group.x * BN;
  let slice = subgroup / SUBGROUPS_OF;
  let sub_row = subgroup % SUBGROUPS_OF / ${BN / SN}u * ${SM}u;
  let sub_col = subgroup % ${BN / SN}u * ${SN}u;
//#for i 0 ${SM / MM}
//#for j 0 ${SN / MN}
//#if !MATRICES
  var c_${i}_${j}: array<f32, ${MM * MN / LANES}>;
//#else
  var c_${i}_${j}: subgroup_matrix_result<f32, ${MN}, ${MM}>;
//#endif
//#endfor
//#endfor
//#for l 0 ${A_LOADS}
  let a_row_${l} = (thread + ${l}u * THREADS) / (BK / 8u);
  let a_k8_${l} = (thread + ${l}u * THREADS) % (BK / 8u);
  var a_next_${l} = load_8(row0 + a_row_${l}, a_k8_${l});
//#endfor
//#for l 0 ${W_LOADS}
  let w_row_${l} = (thread + ${l}u * THREADS) / PIECES;
  let w_piece_${l} = (thread + ${l}u * THREADS) % PIECES;
  var w_next_${l}: Piece;
  if (w_row_${l} < BN) { w_next_${l} = load_w(col0 + w_row_${l}, w_piece_${l}); }
//#endfor
  for (var k0 = 0u; k0 < row_codes(); k0 += BK) {
//#for l 0 ${A_LOADS}
    if (a_row_${l} < BM) { tile_a[a_row_${l} * ROW + a_k8_${l}] = a_next_${l}; }
//#endfor
//#for l 0 ${W_LOADS}
    if (w_row_${l} < BN) { keep_w(w_row_${l}, w_piece_${l}, w_next_${l}); }
//#endfor
    workgroupBarrier();
    let next = k0 + BK;
    if (next < KP) {
//#for l 0 ${A_LOADS}
      a_next_${l} = load_8(row0 + a_row_${l}, next / 8u + a_k8_${l});
//#endfor
//#for l 0 ${W_LOADS}
      if (w_row_${l} < BN) { w_next_${l} = load_w(col0 + w_row_${l}, next / PIECE + w_piece_${l}); }
//#endfor
    }
//#for s 0 ${BK / MK / SLICES}
    {
      let k8 = (slice * ${BK / MK / SLICES}u + ${s}u) * ${MK / 8}u;
//#if !MATRICES
//#for i 0 ${SM / MM}
//#for j 0 ${SN / MN}
      c_${i}_${j} = by_hand(c_${i}_${j}, (sub_row + ${i * MM}u) * ROW + k8, (sub_col + ${j * MN}u) * ROW + k8, lane);
//#endfor
//#endfor
//#else
//#for i 0 ${SM / MM}
      let a_${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, ${MK}, ${MM}>, row_major>(&tile_a, (sub_row + ${i * MM}u) * ROW + k8, ROW);
//#endfor
//#for j 0 ${SN / MN}
      {
        let w = subgroupMatrixLoad<subgroup_matrix_right<f16, ${MN}, ${MK}>, col_major>(&tile_w, (sub_col + ${j * MN}u) * ROW + k8, ROW);
//#for i 0 ${SM / MM}
        c_${i}_${j} = subgroupMatrixMultiplyAccumulate(a_${i}, w, c_${i}_${j});
//#endfor
      }
//#endfor
//#endif
    }
//#endfor
    workgroupBarrier();
  }
  let mine = subgroup * ${MM * MN}u;
//#for i 0 ${SM / MM}
//#for j 0 ${SN / MN}
//#if !MATRICES
  for (var e = 0u; e < ${MM * MN / LANES}u; e++) {
    sums[mine + lane + e * ${LANES}u] = c_${i}_${j}[e];
  }
//#else
  subgroupMatrixStore<row_major>(&sums, mine, c_${i}_${j}, ${MN}u);
//#endif
  workgroupBarrier();
  if (slice == 0u) {
    for (var e = lane; e < ${MM * MN}u; e += ${LANES}u) {
      let m = row0 + sub_row + ${i * MM}u + e / ${MN}u;
      let n = col0 + sub_col + ${j * MN}u + e % ${MN}u;
      if (m < M && n < N) {
        var sum = sums[mine + e];
//#for z 1 ${SLICES}
        sum += sums[mine + ${z}u * SUBGROUPS_OF * ${MM * MN}u + e];
//#endfor
//#if FACTORS
        sum *= factor_of(n);
//#endif
//#if BIAS
        sum += unpack2x16float(bias[n >> 1u])[n & 1u];
//#endif
        out[m * N + n] = result(activate(sum));
      }
    }
  }
  workgroupBarrier();
//#endfor
//#endfor
}
