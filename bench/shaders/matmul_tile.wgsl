// out[M, N] = act(a[M, K] * W[N, K]^T + bias), for many rows.
// A workgroup makes a BM x BN tile, a thread a TM x TN part of it with its cells spread TY rows and TX columns
// apart, so that neighbours read neighbouring banks. Weights are unpacked on their way into shared memory.
//#include common
//#include matmul
const BM = ${BM}u;
const BN = ${BN}u;
const BK = ${BK}u;
const BK4 = BK / 4u;
const TX = ${BN / TN}u;
const TY = ${BM / TM}u;
const THREADS = TX * TY;
const TILE_UNITS = BK / UNIT;
var<workgroup> tile_a: array<vec4<f32>, BM * BK4>;
var<workgroup> tile_w: array<vec4<f32>, BN * BK4>;

// Neighbouring rows are turned against each other, so that a column of them meets every bank; padding would do
// the same but take more than the 16 KiB that every device has. A processor has no banks: TURN is 1 there.
const TURN = ${TURN}u;
fn slot(row: u32, k4: u32) -> u32 {
  return row * BK4 + (k4 ^ (row % TURN));
}

//#if BITS < 16
// One unit on its way: its word, scale and zero point. A scale of 0 stands for what lies outside.
struct Unit {
  word: u32,
  scale: f32,
  zero: f32,
}

fn load_w(row: u32, unit: u32) -> Unit {
  if (row < N && unit < UNITS) {
    return Unit(codes[row * WORDS + unit], scale_of(row, unit), zero_of(row, unit));
  }
  return Unit();
}

fn keep_w(column: u32, k4: u32, w: Unit) {
//#for p 0 ${32 / BITS / 4}
  tile_w[slot(column, k4 + ${p}u)] = (codes4(w.word, ${p}u) - vec4<f32>(w.zero)) * w.scale;
//#endfor
}
//#else
fn load_w(row: u32, unit: u32) -> vec4<f32> {
  if (row < N && unit < UNITS) {
//#if FACTORS
    return half4(row, unit) * factor_of(row);
//#else
    return half4(row, unit);
//#endif
  }
  return vec4<f32>();
}

fn keep_w(column: u32, k4: u32, w: vec4<f32>) {
  tile_w[slot(column, k4)] = w;
}
//#endif

/// One output, with bias and activation; nothing beyond the edges.
fn store(m: u32, n: u32, sum: f32) {
  if (m >= M || n >= N) {
    return;
  }
//#if BIAS
  let b = unpack2x16float(bias[n >> 1u])[n & 1u];
//#else
  let b = 0.0;
//#endif
  out[m * N + n] = result(activate(sum + b));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  take_shape();
  let tx = thread % TX;
  let ty = thread / TX;
  let row0 = group.y * BM;
  let col0 = group.x * BN;
//#for i 0 ${TM}
//#for j 0 ${TN}
  var c_${i}_${j} = 0.0;
//#endfor
//#endfor
//#if PREFETCH
  // The next tile is read from memory while this one is multiplied: its parts wait in registers.
//#for l 0 ${BM * BK / 4 / (BM / TM * BN / TN)}
  var a_next_${l} = load_a(row0 + (thread + ${l}u * THREADS) / BK4, (thread + ${l}u * THREADS) % BK4);
//#endfor
//#for l 0 ${(BN * BK / UNIT + BM / TM * BN / TN - 1) / (BM / TM * BN / TN)}
  var w_next_${l} = load_w(col0 + (thread + ${l}u * THREADS) / TILE_UNITS, (thread + ${l}u * THREADS) % TILE_UNITS);
//#endfor
//#endif
  for (var k0 = 0u; k0 < row_codes(); k0 += BK) {
//#if PREFETCH
//#for l 0 ${BM * BK / 4 / (BM / TM * BN / TN)}
    tile_a[slot((thread + ${l}u * THREADS) / BK4, (thread + ${l}u * THREADS) % BK4)] = a_next_${l};
//#endfor
//#for l 0 ${(BN * BK / UNIT + BM / TM * BN / TN - 1) / (BM / TM * BN / TN)}
    {
      let column = (thread + ${l}u * THREADS) / TILE_UNITS;
      let k4 = (thread + ${l}u * THREADS) % TILE_UNITS * (UNIT / 4u);
      if (column < BN) {
        keep_w(column, k4, w_next_${l});
      }
    }
//#endfor
//#else
    for (var l = thread; l < BM * BK4; l += THREADS) {
      tile_a[slot(l / BK4, l % BK4)] = load_a(row0 + l / BK4, k0 / 4u + l % BK4);
    }
    for (var l = thread; l < BN * TILE_UNITS; l += THREADS) {
      let column = l / TILE_UNITS;
      let unit = l % TILE_UNITS;
      keep_w(column, unit * (UNIT / 4u), load_w(col0 + column, k0 / UNIT + unit));
    }
//#endif
    workgroupBarrier();
//#if PREFETCH
    let next = k0 + BK;
    if (next < KP) {
//#for l 0 ${BM * BK / 4 / (BM / TM * BN / TN)}
      a_next_${l} = load_a(row0 + (thread + ${l}u * THREADS) / BK4, next / 4u + (thread + ${l}u * THREADS) % BK4);
//#endfor
//#for l 0 ${(BN * BK / UNIT + BM / TM * BN / TN - 1) / (BM / TM * BN / TN)}
      w_next_${l} = load_w(
        col0 + (thread + ${l}u * THREADS) / TILE_UNITS,
        next / UNIT + (thread + ${l}u * THREADS) % TILE_UNITS,
      );
//#endfor
    }
//#endif
    for (var k = 0u; k < BK4; k++) {
      // slot() by hand: TX and TY are multiples of TURN, so all of a thread's rows are turned alike.
      let at_a = ty * BK4 + (k ^ (ty % TURN));
      let at_w = tx * BK4 + (k ^ (tx % TURN));
//#for i 0 ${TM}
      let a_${i} = tile_a[at_a + ${i * (BM / TM)}u * BK4];
//#endfor
//#for j 0 ${TN}
      let w_${j} = tile_w[at_w + ${j * (BN / TN)}u * BK4];
//#endfor
//#for i 0 ${TM}
//#for j 0 ${TN}
      c_${i}_${j} += dot(a_${i}, w_${j});
//#endfor
//#endfor
    }
    workgroupBarrier();
  }
//#if UNIFORM
  // A loop: written out, a processor's compiler reads for seconds what runs once.
  var sums: array<f32, ${TM * TN}>;
//#for i 0 ${TM}
//#for j 0 ${TN}
  sums[${i * TN + j}] = c_${i}_${j};
//#endfor
//#endfor
  for (var i = 0u; i < ${TM * TN}u; i++) {
    store(row0 + ty + i / ${TN}u * TY, col0 + tx + i % ${TN}u * TX, sums[i]);
  }
//#else
//#for j 0 ${TN}
//#for i 0 ${TM}
  store(row0 + ty + ${i}u * TY, col0 + tx + ${j}u * TX, c_${i}_${j});
//#endfor
//#endfor
//#endif
}
