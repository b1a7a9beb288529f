// out[M, N] = act(a[M, K] * W[N, K]^T + bias), for many rows.
// A workgroup makes a BM x BN tile, a thread a TM x TN part of it with its cells spread TY rows and TX columns
// apart, so that neighbours read neighbouring banks. Weights are unpacked on their way into shared memory.
//#include common
@group(0) @binding(0) var<storage, read> codes: array<u32>;
//#if BITS < 16
@group(0) @binding(1) var<storage, read> scales: array<u32>;
//#endif
//#if ASYMMETRIC
@group(0) @binding(2) var<storage, read> zeros: array<u32>;
//#endif
//#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<u32>;
//#endif
//#if KVEC
@group(0) @binding(4) var<storage, read> a: array<vec4s>;
//#else
@group(0) @binding(4) var<storage, read> a: array<scalar>;
//#endif
@group(0) @binding(5) var<storage, read_write> out: array<scalar>;
//#include weights
//#include activation

override M: u32;
override N: u32;
override K: u32;
const BM = ${BM}u;
const BN = ${BN}u;
const TX = ${BN / TN}u;
const TY = ${BM / TM}u;
const THREADS = TX * TY;
const BK = 32u; // two units of 2-bit codes; every group size is reached in whole units
const BK4 = BK / 4u;
var<workgroup> tile_a: array<vec4<f32>, BM * BK4>;
var<workgroup> tile_w: array<vec4<f32>, BN * BK4>;

// Neighbouring rows are turned against each other, so that a column of them meets every bank; padding would do
// the same but take a 64 x 64 tile over the 16 KiB that every device has.
fn slot(row: u32, k4: u32) -> u32 {
  return row * BK4 + (k4 ^ (row % BK4));
}

fn load_a(row: u32, k4: u32) -> vec4<f32> {
  if (row >= M) {
    return vec4<f32>();
  }
//#if KVEC
  if (k4 * 4u < K) {
    return vec4<f32>(a[row * (K / 4u) + k4]);
  }
  return vec4<f32>();
//#else
  var v = vec4<f32>();
  let k = k4 * 4u;
  let base = row * K + k;
  if (k < K) { v.x = f32(a[base]); }
  if (k + 1u < K) { v.y = f32(a[base + 1u]); }
  if (k + 2u < K) { v.z = f32(a[base + 2u]); }
  if (k + 3u < K) { v.w = f32(a[base + 3u]); }
  return v;
//#endif
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tx = thread % TX;
  let ty = thread / TX;
  let row0 = group.y * BM;
  let col0 = group.x * BN;
//#for i 0 ${TM}
//#for j 0 ${TN}
  var c_${i}_${j} = 0.0;
//#endfor
//#endfor
  for (var k0 = 0u; k0 < KP; k0 += BK) {
    for (var i = thread; i < BM * BK4; i += THREADS) {
      tile_a[slot(i / BK4, i % BK4)] = load_a(row0 + i / BK4, k0 / 4u + i % BK4);
    }
    const TILE_UNITS = BK / UNIT;
    for (var i = thread; i < BN * TILE_UNITS; i += THREADS) {
      let column = i / TILE_UNITS;
      let part = i % TILE_UNITS;
      let row = col0 + column;
      let unit = k0 / UNIT + part;
      let k4 = part * (UNIT / 4u);
      if (row < N && unit < UNITS) {
//#if BITS == 16
        tile_w[slot(column, k4)] = half4(row, unit);
//#else
        let word = codes[row * WORDS + unit];
        let scale = scale_of(row, unit);
        let shift = vec4<f32>(zero_of(row, unit));
//#for p 0 ${32 / BITS / 4}
        tile_w[slot(column, k4 + ${p}u)] = (codes4(word, ${p}u) - shift) * scale;
//#endfor
//#endif
      } else {
        for (var p = 0u; p < UNIT / 4u; p++) {
          tile_w[slot(column, k4 + p)] = vec4<f32>();
        }
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < BK4; k++) {
      // slot() by hand: TX and TY are multiples of BK4, so all of a thread's rows are turned alike.
      let at_a = ty * BK4 + (k ^ (ty % BK4));
      let at_w = tx * BK4 + (k ^ (tx % BK4));
//#for i 0 ${TM}
      let a_${i} = tile_a[at_a + ${i * (BM / TM) * 8}u];
//#endfor
//#for j 0 ${TN}
      let w_${j} = tile_w[at_w + ${j * (BN / TN) * 8}u];
//#endfor
//#for i 0 ${TM}
//#for j 0 ${TN}
      c_${i}_${j} += dot(a_${i}, w_${j});
//#endfor
//#endfor
    }
    workgroupBarrier();
  }
//#for j 0 ${TN}
  {
    let n = col0 + tx + ${j}u * TX;
    if (n < N) {
//#if BIAS
      let b = unpack2x16float(bias[n >> 1u])[n & 1u];
//#else
      let b = 0.0;
//#endif
//#for i 0 ${TM}
      {
        let m = row0 + ty + ${i}u * TY;
        if (m < M) {
          out[m * N + n] = scalar(activate(c_${i}_${j} + b));
        }
      }
//#endfor
    }
  }
//#endfor
}
