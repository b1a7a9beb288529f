// out[B*T, heads*D] = softmax(q k^T * SCALE, masked) v over S keys, one head and TQ queries a workgroup.
// Keys pass in tiles of TK with a running maximum and sum (online softmax, arXiv 1805.02867), so the T x S scores
// never leave the chip. MASK leaves out keys that are padding, CAUSAL those that come after the query.
// CACHE: keys and values are the rows of a cache up to `length` and these T more, a head of them for SHARE of the
// queries. q, k and v may be columns of one buffer: each has a row stride and an offset.
//#include common
@group(0) @binding(0) var<storage, read> q: array<scalar>;
@group(0) @binding(1) var<storage, read> k: array<scalar>;
@group(0) @binding(2) var<storage, read> v: array<scalar>;
//#if MASK
@group(0) @binding(3) var<storage, read> mask: array<i32>;
//#endif
//#if CACHE
@group(0) @binding(3) var<storage, read> length: array<i32>;
//#endif
@group(0) @binding(4) var<storage, read_write> out: array<scalar>;

override T: u32;
//#if CACHE
override CAPACITY: u32;
override SHARE: u32;
//#else
override S: u32;
//#endif
override SCALE: f32;
override Q_STRIDE: u32;
override K_STRIDE: u32;
override V_STRIDE: u32;
override O_STRIDE: u32;
override Q_OFFSET: u32;
override K_OFFSET: u32;
override V_OFFSET: u32;
const D = ${D}u;
const TQ = ${TQ}u;
const TK = ${TK}u;
const LANES = ${LANES}u;
const THREADS = TQ * LANES;
const STRIDE = D + 1u; // odd, so that rows start in different banks
const LOWEST = -3.0e38;
var<workgroup> tile_q: array<f32, TQ * STRIDE>;
var<workgroup> tile_kv: array<f32, TK * STRIDE>;
var<workgroup> scores: array<f32, TQ * (TK + 1u)>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = group.y * D;
//#if CACHE
  let begin = u32(length[0]); // what the cache held before these rows
  let S = min(begin + T, CAPACITY);
  let shared_head = group.y / SHARE * D;
//#else
  let begin = 0u;
  let shared_head = head;
//#endif
  let first = group.z * T; // this sequence's first query
  let first_key = group.z * S;
  let query = thread / LANES;
  let lane = thread % LANES;
  let t = group.x * TQ + query;
  for (var i = thread; i < TQ * D; i += THREADS) {
    let row = group.x * TQ + i / D;
    var x = 0.0;
    if (row < T) {
      x = f32(q[(first + row) * Q_STRIDE + Q_OFFSET + head + i % D]) * SCALE;
    }
    tile_q[(i / D) * STRIDE + i % D] = x;
  }
  var largest = LOWEST;
  var weight = 0.0;
//#for i 0 ${D / LANES}
  var o_${i} = 0.0;
//#endfor
//#if CAUSAL
  let end = min(S, begin + (group.x + 1u) * TQ);
//#else
  let end = S;
//#endif
  for (var k0 = 0u; k0 < end; k0 += TK) {
    for (var i = thread; i < TK * D; i += THREADS) {
      let row = k0 + i / D;
      var x = 0.0;
      if (row < S) {
        x = f32(k[(first_key + row) * K_STRIDE + K_OFFSET + shared_head + i % D]);
      }
      tile_kv[(i / D) * STRIDE + i % D] = x;
    }
    workgroupBarrier();
    for (var j = lane; j < TK; j += LANES) {
      var s = LOWEST;
      var counts = k0 + j < S;
//#if CAUSAL
      counts = counts && k0 + j <= begin + t;
//#endif
      if (counts) {
//#if MASK
        if (mask[first_key + k0 + j] != 0) {
//#else
        {
//#endif
          s = 0.0;
          for (var d = 0u; d < D; d++) {
            s += tile_q[query * STRIDE + d] * tile_kv[j * STRIDE + d];
          }
        }
      }
      scores[query * (TK + 1u) + j] = s;
    }
    workgroupBarrier();
    var top = largest;
    for (var j = 0u; j < TK; j++) {
      top = max(top, scores[query * (TK + 1u) + j]);
    }
    workgroupBarrier();
    for (var j = lane; j < TK; j += LANES) {
      let s = scores[query * (TK + 1u) + j];
      scores[query * (TK + 1u) + j] = select(exp(s - top), 0.0, s == LOWEST);
    }
    for (var i = thread; i < TK * D; i += THREADS) {
      let row = k0 + i / D;
      var x = 0.0;
      if (row < S) {
        x = f32(v[(first_key + row) * V_STRIDE + V_OFFSET + shared_head + i % D]);
      }
      tile_kv[(i / D) * STRIDE + i % D] = x;
    }
    workgroupBarrier();
    let keep = exp(largest - top);
    largest = top;
    weight *= keep;
//#for i 0 ${D / LANES}
    o_${i} *= keep;
//#endfor
    for (var j = 0u; j < TK; j++) {
      let p = scores[query * (TK + 1u) + j];
      weight += p;
//#for i 0 ${D / LANES}
      o_${i} += p * tile_kv[j * STRIDE + lane + ${i}u * LANES];
//#endfor
    }
    workgroupBarrier();
  }
  if (t < T) {
    // No key counts: zeros.
    let share = select(1.0 / weight, 0.0, weight == 0.0);
//#for i 0 ${D / LANES}
    out[(first + t) * O_STRIDE + head + lane + ${i}u * LANES] = scalar(o_${i} * share);
//#endfor
  }
}
