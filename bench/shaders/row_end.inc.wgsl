// What the sums of a few rows become, and where they go.
// GATED: W joins a gate and what it opens; out[M, N / 2] = act(gate) * other. TURN: W joins q, k and v; pairs of q are
// turned and go to out, those of k, turned, and of v to the caches (see rope.wgsl). RESIDUAL: out = sum + residual.
// With GATED or TURN, a team's rows come in pairs: two rows of W that end together.
//#if RESIDUAL
@group(0) @binding(6) var<storage, read> residual: array<f32>;
//#endif
//#if TURN
@group(0) @binding(8) var<storage, read> table: array<f32>; // [positions, D]: cosines, sines
@group(0) @binding(9) var<uniform> length: vec4<i32>;
@group(0) @binding(10) var<storage, read_write> key_cache: array<scalar>;
@group(0) @binding(11) var<storage, read_write> value_cache: array<scalar>;
override D: u32;
override HEADS: u32; // of q
override KV_HEADS: u32;
override CAPACITY: u32;
//#endif

// The row of W that is a team's r-th.
fn row_of(team: u32, r: u32) -> u32 {
//#if GATED
  return min(team * ${ROWS / 2}u + r / 2u, N / 2u - 1u) + r % 2u * (N / 2u);
//#else
//#if TURN
  let pair = min(team * ${ROWS / 2}u + r / 2u, N / 2u - 1u);
  return pair / (D / 2u) * D + pair % (D / 2u) + r % 2u * (D / 2u);
//#else
  return min(team * ${ROWS}u + r, N - 1u);
//#endif
//#endif
}

// A sum, before anything is made of it.
fn whole(row: u32, sum: f32) -> f32 {
  var x = sum;
//#if FACTORS && BITS == 16
  x *= factor_of(row);
//#endif
//#if BIAS
  x += unpack2x16float(bias[row >> 1u])[row & 1u];
//#endif
  return x;
}

//#if GATED
fn end_pair(m: u32, team: u32, r: u32, gate: f32, other: f32) {
  let n = team * ${ROWS / 2}u + r;
  if (n < N / 2u) {
    out[m * (N / 2u) + n] = result(activate(whole(n, gate)) * whole(n + N / 2u, other));
  }
}
//#else
//#if TURN
fn end_pair(m: u32, team: u32, r: u32, left: f32, right: f32) {
  let pair = team * ${ROWS / 2}u + r;
  let half = D / 2u;
  let head = pair / half;
  let i = pair % half;
  let position = u32(length.x) + m;
  if (pair >= N / 2u) {
    return;
  }
  var x = whole(head * D + i, left);
  var y = whole(head * D + i + half, right);
  if (head < HEADS + KV_HEADS) {
    let cosine = table[position * D + i];
    let sine = table[position * D + half + i];
    let turned = x * cosine - y * sine;
    y = y * cosine + x * sine;
    x = turned;
  }
  if (head < HEADS) {
    let to = (m * HEADS + head) * D + i;
    out[to] = result(x);
    out[to + half] = result(y);
  } else if (position < CAPACITY) {
    let to = position * KV_HEADS * D + (head - HEADS) % KV_HEADS * D + i;
    if (head < HEADS + KV_HEADS) {
      key_cache[to] = scalar(x);
      key_cache[to + half] = scalar(y);
    } else {
      value_cache[to] = scalar(x);
      value_cache[to + half] = scalar(y);
    }
  }
}
//#else
fn end(m: u32, team: u32, r: u32, sum: f32) {
  let n = team * ROWS + r;
  if (n < N) {
    let x = activate(whole(n, sum));
//#if RESIDUAL
    out[m * N + n] = result(x + residual[m * N + n]);
//#else
    out[m * N + n] = result(x);
//#endif
  }
}
//#endif
//#endif

//#if NORM
// The sum over the workgroup, in each thread.
fn workgroup_total(thread: u32, mine: f32) -> f32 {
//#if SUBGROUPS
  let part = subgroupAdd(mine);
  const STEP = TEAM;
//#else
  let part = mine;
  const STEP = 1u;
//#endif
  if (thread % STEP == 0u) {
    partial[thread] = part;
  }
  workgroupBarrier();
//#if !SUBGROUPS
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
    workgroupBarrier();
  }
  let total = partial[0];
//#else
  var total = 0.0;
  for (var t = 0u; t < THREADS; t += STEP) {
    total += partial[t];
  }
//#endif
  workgroupBarrier();
  return total;
}
//#endif
