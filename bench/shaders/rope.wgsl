// Rotary positions, and what is kept of them: a thread a pair (i, i + D / 2) of one head of one row.
// Q: heads of q are turned and written to out. KV: those of k, turned where TURN, and those of v go to the caches,
// to the rows from `length` on; what lies beyond CAPACITY is left out. q, k and v may be columns of one buffer.
//#include common
//#if TURN
@group(0) @binding(0) var<storage, read> table: array<f32>; // [positions, D]: cosines, sines
//#endif
@group(0) @binding(1) var<storage, read> length: array<i32>;
//#if Q
@group(0) @binding(2) var<storage, read> q: array<scalar>;
@group(0) @binding(3) var<storage, read_write> out: array<scalar>;
//#endif
//#if KV
@group(0) @binding(4) var<storage, read> k: array<scalar>;
@group(0) @binding(5) var<storage, read> v: array<scalar>;
@group(0) @binding(6) var<storage, read_write> key_cache: array<scalar>;
@group(0) @binding(7) var<storage, read_write> value_cache: array<scalar>;
//#endif

override D: u32;
override T: u32;
override HEADS: u32; // of q; 0 without Q
override KV_HEADS: u32; // 0 without KV
override CAPACITY: u32;
override Q_STRIDE: u32;
override Q_OFFSET: u32;
override K_STRIDE: u32;
override K_OFFSET: u32;
override V_STRIDE: u32;
override V_OFFSET: u32;

fn turned(x: f32, y: f32, position: u32, i: u32) -> vec2<f32> {
//#if TURN
  let cosine = table[position * D + i];
  let sine = table[position * D + D / 2u + i];
  return vec2<f32>(x * cosine - y * sine, y * cosine + x * sine);
//#else
  return vec2<f32>(x, y);
//#endif
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let half = D / 2u;
  let head = id.x / half;
  let i = id.x % half;
  let row = id.y;
  let position = u32(length[0]) + row;
//#if Q
  if (head < HEADS) {
    let at = row * Q_STRIDE + Q_OFFSET + head * D + i;
    let pair = turned(f32(q[at]), f32(q[at + half]), position, i);
    let to = (row * HEADS + head) * D + i;
    out[to] = scalar(pair.x);
    out[to + half] = scalar(pair.y);
  }
//#endif
//#if KV
  if (head >= HEADS && head < HEADS + KV_HEADS && position < CAPACITY) {
    let own = (head - HEADS) * D + i;
    let at = row * K_STRIDE + K_OFFSET + own;
    let pair = turned(f32(k[at]), f32(k[at + half]), position, i);
    let to = position * KV_HEADS * D + own;
    key_cache[to] = scalar(pair.x);
    key_cache[to + half] = scalar(pair.y);
  }
  if (head >= HEADS + KV_HEADS && head < HEADS + 2u * KV_HEADS && position < CAPACITY) {
    let own = (head - HEADS - KV_HEADS) * D + i;
    let at = row * V_STRIDE + V_OFFSET + own;
    let to = position * KV_HEADS * D + own;
    value_cache[to] = v[at];
    value_cache[to + half] = v[at + half];
  }
//#endif
}
