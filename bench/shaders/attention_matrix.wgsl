// out[B*T, heads*D] = softmax(q k^T * SCALE, masked) v over S keys, one head and TQ queries a workgroup, by matrix
// units: scores and what they mix are products of halves with sums in f32. What is masked, and where q, k and v lie,
// is as in attention.wgsl; rows are whole vectors of eight halves.
// A subgroup makes the scores of its sixteen queries and TK keys, two threads a query take the softmax of them and keep
// the query's output: that is scaled down when a larger score comes (online softmax, arXiv 1805.02867).
// Without MATRICES the same sums are made by hand: so all but the units is tested where there are none.
//#include common
//#include attention
@group(0) @binding(0) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f16>>;

const D = ${D}u;
const D8 = ${D / 8}u;
const TQ = ${TQ}u;
const TK = ${TK}u;
const THREADS = TQ * 2u; // sixteen queries a subgroup of 32
const ROW = D8 + 1u; // vectors from one staged row to the next, so that rows start in different banks
const P_ROW = ${TK / 8 + 1}u;
// Vectors of four from one row of sums to the next: two more than a multiple of eight, so that neighbouring queries'
// vectors lie in different banks.
const WIDTH = ${(D * (D >= TK) + TK * (TK > D) + 31) / 32 * 8 + 2}u;
const LOWEST = -3.0e38;
var<workgroup> tile_q: array<vec4<u32>, TQ * ROW>;
var<workgroup> tile_k: array<vec4<u32>, TK * ROW>;
var<workgroup> tile_v: array<vec4<u32>, TK * ROW>;
var<workgroup> tile_p: array<vec4<u32>, TQ * P_ROW>;
var<workgroup> made: array<vec4<f32>, TQ * WIDTH>; // scores, then what they mix
var<workgroup> parts: array<f32, THREADS>;

//#if !MATRICES
fn half_of(word: vec4<u32>, i: u32) -> f32 {
  return unpack2x16float(word[i / 2u])[i % 2u];
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
  let head = group.y * D8;
//#if CACHE
  let begin = u32(length[0]); // what the cache held before these rows
  let S = min(begin + T, CAPACITY);
  let shared_head = group.y / SHARE * D8;
//#else
  let begin = 0u;
  let shared_head = head;
//#endif
  let first = group.z * T; // this sequence's first query
  let first_key = group.z * S;
  let t0 = group.x * TQ;
  let query = thread / 2u;
  let part = thread % 2u;
  for (var i = thread; i < TQ * D8; i += THREADS) {
    var x = vec4<u32>();
    if (t0 + i / D8 < T) { x = q[((first + t0 + i / D8) * Q_STRIDE + Q_OFFSET) / 8u + head + i % D8]; }
    tile_q[i / D8 * ROW + i % D8] = x;
  }
  var largest = LOWEST;
  var weight = 0.0; // of this thread's keys alone until the end
//#for c 0 ${D / 8}
  var o_${c} = vec4<f32>();
//#endfor
//#if CAUSAL
  let end = min(S, begin + t0 + TQ);
//#else
  let end = S;
//#endif
  for (var k0 = 0u; k0 < end; k0 += TK) {
    for (var i = thread; i < TK * D8; i += THREADS) {
      var x = vec4<u32>();
      var y = vec4<u32>();
      if (k0 + i / D8 < S) {
        x = k[((first_key + k0 + i / D8) * K_STRIDE + K_OFFSET) / 8u + shared_head + i % D8];
        y = v[((first_key + k0 + i / D8) * V_STRIDE + V_OFFSET) / 8u + shared_head + i % D8];
      }
      tile_k[i / D8 * ROW + i % D8] = x;
      tile_v[i / D8 * ROW + i % D8] = y;
    }
    workgroupBarrier();
//#if MATRICES
//#for j 0 ${TK / 16}
    {
      var c = subgroup_matrix_result<f32, 16, 16>();
//#for s 0 ${D / 16}
      c = subgroupMatrixMultiplyAccumulate(
        subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile_q, subgroup * 16u * ROW + ${2 * s}u, ROW),
        subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&tile_k, ${16 * j}u * ROW + ${2 * s}u, ROW),
        c,
      );
//#endfor
      subgroupMatrixStore<row_major>(&made, subgroup * 16u * WIDTH + ${4 * j}u, c, WIDTH);
    }
//#endfor
//#else
    for (var e = thread; e < TQ * TK / 4u; e += THREADS) {
      let row = e * 4u / TK;
      var sum = vec4<f32>();
      for (var i = 0u; i < 4u; i++) {
        let column = (e * 4u + i) % TK;
        for (var d = 0u; d < D; d++) {
          sum[i] += half_of(tile_q[row * ROW + d / 8u], d % 8u) * half_of(tile_k[column * ROW + d / 8u], d % 8u);
        }
      }
      made[row * WIDTH + e * 4u % TK / 4u] = sum;
    }
//#endif
    workgroupBarrier();
    var top = LOWEST;
//#for j 0 ${TK / 8}
    let made_${j} = made[query * WIDTH + part * ${TK / 8}u + ${j}u];
//#endfor
//#for j 0 ${TK / 2}
    let key_${j} = k0 + part * ${TK / 2}u + ${j}u;
    var counts_${j} = key_${j} < S;
//#if CAUSAL
    counts_${j} = counts_${j} && key_${j} <= begin + t0 + query;
//#endif
//#if MASK
    counts_${j} = counts_${j} && mask[first_key + min(key_${j}, S - 1u)] != 0;
//#endif
    let s_${j} = select(LOWEST, made_${j / 4}[${j % 4}] * SCALE, counts_${j});
    top = max(top, s_${j});
//#endfor
    parts[thread] = top;
    workgroupBarrier();
    top = max(largest, max(top, parts[thread ^ 1u]));
    let keep = exp(largest - top);
    largest = top;
    weight *= keep;
//#for j 0 ${TK / 2}
    let p_${j} = select(exp(s_${j} - top), 0.0, s_${j} == LOWEST);
    weight += p_${j};
//#endfor
//#for j 0 ${TK / 16}
    tile_p[query * P_ROW + part * ${TK / 16}u + ${j}u] = vec4<u32>(
      pack2x16float(vec2<f32>(p_${8 * j}, p_${8 * j + 1})),
      pack2x16float(vec2<f32>(p_${8 * j + 2}, p_${8 * j + 3})),
      pack2x16float(vec2<f32>(p_${8 * j + 4}, p_${8 * j + 5})),
      pack2x16float(vec2<f32>(p_${8 * j + 6}, p_${8 * j + 7})),
    );
//#endfor
    workgroupBarrier();
//#if MATRICES
//#for c 0 ${D / 16}
    {
      var c = subgroup_matrix_result<f32, 16, 16>();
//#for s 0 ${TK / 16}
      c = subgroupMatrixMultiplyAccumulate(
        subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile_p, subgroup * 16u * P_ROW + ${2 * s}u, P_ROW),
        subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&tile_v, ${16 * s}u * ROW + ${2 * c}u, ROW),
        c,
      );
//#endfor
      subgroupMatrixStore<row_major>(&made, subgroup * 16u * WIDTH + ${4 * c}u, c, WIDTH);
    }
//#endfor
//#else
    for (var e = thread; e < TQ * D / 4u; e += THREADS) {
      let row = e * 4u / D;
      let column = e * 4u % D;
      var sum = vec4<f32>();
      for (var j = 0u; j < TK; j++) {
        let p = half_of(tile_p[row * P_ROW + j / 8u], j % 8u);
        for (var i = 0u; i < 4u; i++) {
          sum[i] += p * half_of(tile_v[j * ROW + column / 8u], (column + i) % 8u);
        }
      }
      made[row * WIDTH + column / 4u] = sum;
    }
//#endif
    workgroupBarrier();
//#for c 0 ${D / 8}
    o_${c} = o_${c} * keep + made[query * WIDTH + part + ${2 * c}u];
//#endfor
    workgroupBarrier();
  }
  parts[thread] = weight;
  workgroupBarrier();
  weight += parts[thread ^ 1u];
  // No key counts: zeros.
  let share = select(1.0 / weight, 0.0, weight == 0.0);
  if (t0 + query < T) {
    let at = ((first + t0 + query) * O_STRIDE + group.y * D) / 4u + part;
//#for c 0 ${D / 8}
    out[at + ${2 * c}u] = vec4<f16>(o_${c} * share);
//#endfor
  }
}
