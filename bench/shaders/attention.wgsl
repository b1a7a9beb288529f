// out[B*T, heads*D] = softmax(q k^T * SCALE, masked) v over S keys, one head and TQ queries a workgroup.
// Keys pass in tiles of TK with a running maximum and sum (online softmax, arXiv 1805.02867), so the T x S scores
// never leave the chip. Of a tile's scores a thread makes RQ x RK, and of the output RQ rows of COLUMNS vectors:
// what it reads of a tile serves several of them.
// MASK leaves out keys that are padding, CAUSAL those that come after the query. CACHE: keys and values are the rows
// of a cache up to `length` and these T more, a head of them for SHARE of the queries. q, k and v may be columns of
// one buffer: each has a row stride and an offset. VEC: heads are whole vectors of four, at offsets of four.
//#include common
//#include attention
//#if VEC
alias element = vec4s;
//#else
alias element = scalar;
//#endif
@group(0) @binding(0) var<storage, read> q: array<element>;
@group(0) @binding(1) var<storage, read> k: array<element>;
@group(0) @binding(2) var<storage, read> v: array<element>;
@group(0) @binding(4) var<storage, read_write> out: array<element>;

const D = ${D}u;
const D4 = ${(D + 3) / 4}u; // vectors in a head, the last filled up with zeros
const TQ = ${TQ}u;
const TK = ${TK}u;
const TX = ${TK / RK}u;
const TY = ${TQ / RQ}u;
const THREADS = TX * TY;
const ROW = D4 + 1u; // so that rows start in different banks
const LOWEST = -3.0e38;
var<workgroup> tile_q: array<vec4s, TQ * ROW>;
var<workgroup> tile_k: array<vec4s, TK * ROW>;
var<workgroup> tile_v: array<vec4s, TK * ROW>;
var<workgroup> scores: array<f32, TQ * (TK + 1u)>;
var<workgroup> parts: array<f32, TQ * TX>;

fn load_q(row: u32, head: u32, d4: u32) -> vec4s {
//#if VEC
  return q[(row * Q_STRIDE + Q_OFFSET + head) / 4u + d4];
//#else
  var x = vec4s();
  for (var i = 0u; i < min(4u, D - d4 * 4u); i++) {
    x[i] = q[row * Q_STRIDE + Q_OFFSET + head + d4 * 4u + i];
  }
  return x;
//#endif
}

fn load_k(row: u32, head: u32, d4: u32) -> vec4s {
//#if VEC
  return k[(row * K_STRIDE + K_OFFSET + head) / 4u + d4];
//#else
  var x = vec4s();
  for (var i = 0u; i < min(4u, D - d4 * 4u); i++) {
    x[i] = k[row * K_STRIDE + K_OFFSET + head + d4 * 4u + i];
  }
  return x;
//#endif
}

fn load_v(row: u32, head: u32, d4: u32) -> vec4s {
//#if VEC
  return v[(row * V_STRIDE + V_OFFSET + head) / 4u + d4];
//#else
  var x = vec4s();
  for (var i = 0u; i < min(4u, D - d4 * 4u); i++) {
    x[i] = v[row * V_STRIDE + V_OFFSET + head + d4 * 4u + i];
  }
  return x;
//#endif
}

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
  let t0 = group.x * TQ;
  let tx = thread % TX;
  let ty = thread / TX;
  for (var i = thread; i < TQ * D4; i += THREADS) {
    var x = vec4s();
    if (t0 + i / D4 < T) { x = load_q(first + t0 + i / D4, head, i % D4); }
    tile_q[i / D4 * ROW + i % D4] = x;
  }
//#for i 0 ${RQ}
  var largest_${i} = LOWEST;
  var weight_${i} = 0.0; // of this thread's keys alone until the end
//#for c 0 ${((D + 3) / 4 + TK / RK - 1) / (TK / RK)}
  var o_${i}_${c} = vec4<f32>();
//#endfor
//#endfor
//#if CAUSAL
  let end = min(S, begin + t0 + TQ);
//#else
  let end = S;
//#endif
  for (var k0 = 0u; k0 < end; k0 += TK) {
    for (var i = thread; i < TK * D4; i += THREADS) {
      var x = vec4s();
      var y = vec4s();
      if (k0 + i / D4 < S) {
        x = load_k(first_key + k0 + i / D4, shared_head, i % D4);
        y = load_v(first_key + k0 + i / D4, shared_head, i % D4);
      }
      tile_k[i / D4 * ROW + i % D4] = x;
      tile_v[i / D4 * ROW + i % D4] = y;
    }
    workgroupBarrier();
//#for i 0 ${RQ}
//#for j 0 ${RK}
    var s_${i}_${j} = 0.0;
//#endfor
//#endfor
    for (var d = 0u; d < D4; d++) {
//#for i 0 ${RQ}
      let q_${i} = vec4<f32>(tile_q[(ty + ${i}u * TY) * ROW + d]);
//#endfor
//#for j 0 ${RK}
      let k_${j} = vec4<f32>(tile_k[(tx + ${j}u * TX) * ROW + d]);
//#endfor
//#for i 0 ${RQ}
//#for j 0 ${RK}
      s_${i}_${j} += dot(q_${i}, k_${j});
//#endfor
//#endfor
    }
//#for j 0 ${RK}
    {
      let key = k0 + tx + ${j}u * TX;
//#if MASK
      let counts = key < S && mask[first_key + min(key, S - 1u)] != 0;
//#else
      let counts = key < S;
//#endif
//#for i 0 ${RQ}
//#if CAUSAL
      s_${i}_${j} = select(LOWEST, s_${i}_${j} * SCALE, counts && key <= begin + t0 + ty + ${i}u * TY);
//#else
      s_${i}_${j} = select(LOWEST, s_${i}_${j} * SCALE, counts);
//#endif
//#endfor
    }
//#endfor
//#for i 0 ${RQ}
    {
      var top = s_${i}_0;
//#for j 1 ${RK}
      top = max(top, s_${i}_${j});
//#endfor
      parts[(ty + ${i}u * TY) * TX + tx] = top;
    }
//#endfor
    workgroupBarrier();
//#for i 0 ${RQ}
    {
      var top = largest_${i};
      for (var x = 0u; x < TX; x++) {
        top = max(top, parts[(ty + ${i}u * TY) * TX + x]);
      }
      let keep = exp(largest_${i} - top);
      largest_${i} = top;
      weight_${i} *= keep;
//#for c 0 ${((D + 3) / 4 + TK / RK - 1) / (TK / RK)}
      o_${i}_${c} *= keep;
//#endfor
//#for j 0 ${RK}
      {
        let p = select(exp(s_${i}_${j} - top), 0.0, s_${i}_${j} == LOWEST);
        weight_${i} += p;
        scores[(ty + ${i}u * TY) * (TK + 1u) + tx + ${j}u * TX] = p;
      }
//#endfor
    }
//#endfor
    workgroupBarrier();
    for (var j = 0u; j < TK; j++) {
//#for i 0 ${RQ}
      let p_${i} = scores[(ty + ${i}u * TY) * (TK + 1u) + j];
//#endfor
//#for c 0 ${((D + 3) / 4 + TK / RK - 1) / (TK / RK)}
      {
        let y = vec4<f32>(tile_v[j * ROW + min(tx + ${c}u * TX, D4 - 1u)]);
//#for i 0 ${RQ}
        o_${i}_${c} += p_${i} * y;
//#endfor
      }
//#endfor
    }
    workgroupBarrier();
  }
//#for i 0 ${RQ}
  parts[(ty + ${i}u * TY) * TX + tx] = weight_${i};
//#endfor
  workgroupBarrier();
//#for i 0 ${RQ}
  {
    var weight = 0.0;
    for (var x = 0u; x < TX; x++) {
      weight += parts[(ty + ${i}u * TY) * TX + x];
    }
    // No key counts: zeros.
    let share = select(1.0 / weight, 0.0, weight == 0.0);
    let t = t0 + ty + ${i}u * TY;
//#for c 0 ${((D + 3) / 4 + TK / RK - 1) / (TK / RK)}
    if (t < T && tx + ${c}u * TX < D4) {
      let at = (first + t) * O_STRIDE + head + (tx + ${c}u * TX) * 4u;
//#if VEC
      out[at / 4u] = vec4s(o_${i}_${c} * share);
//#else
      var o = o_${i}_${c} * share;
      for (var e = 0u; e < min(4u, D - (tx + ${c}u * TX) * 4u); e++) {
        out[at + e] = scalar(o[e]);
      }
//#endif
    }
//#endfor
  }
//#endfor
}
