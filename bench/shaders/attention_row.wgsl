// out[T, heads*D] = softmax(q k^T * SCALE) v for one row or a few against a cache: a workgroup a head of a row.
// Keys pass in tiles of THREADS, a key a thread, with a running maximum and sum (online softmax, arXiv 1805.02867).
// Values are summed by columns of VEC neighbours, SLICES threads a column, each for its share of the keys.
// LOADS loads are on their way at once: there are few workgroups, and a GPU waits long for memory.
// With SPLITS so many workgroups share the keys of a head; attention_parts.wgsl joins what each leaves in f32.
//#include common
//#if VEC == 4
alias part = vec4<f32>;
@group(0) @binding(0) var<storage, read> q: array<vec4s>;
@group(0) @binding(1) var<storage, read> keys: array<vec4s>;
@group(0) @binding(2) var<storage, read> values: array<vec4s>;
//#else
alias part = f32;
@group(0) @binding(0) var<storage, read> q: array<scalar>;
@group(0) @binding(1) var<storage, read> keys: array<scalar>;
@group(0) @binding(2) var<storage, read> values: array<scalar>;
//#endif
//#if SPLITS > 1
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
//#else
//#if VEC == 4
@group(0) @binding(4) var<storage, read_write> out: array<vec4s>;
//#else
@group(0) @binding(4) var<storage, read_write> out: array<scalar>;
//#endif
//#endif
@group(0) @binding(3) var<storage, read> length: array<i32>;

override SCALE: f32;
override SHARE: u32; // heads of q that read one head of the cache
override CAPACITY: u32;
override K_STRIDE: u32; // parts in a row of the cache
override Q_STRIDE: u32;
override Q_OFFSET: u32;
//#if SPLITS <= 1
override O_STRIDE: u32;
//#endif
const COLUMNS = ${D / VEC}u;
const THREADS = ${THREADS}u;
const SLICES = ${THREADS / (D / VEC)}u;
//#if SUBGROUPS
const LANES = ${LANES}u; // threads of a subgroup, of which a workgroup is made in order
//#endif
const LOWEST = -3.0e38;
var<workgroup> query: array<part, COLUMNS>;
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> reduced: array<f32, THREADS>;
var<workgroup> sums: array<part, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
//#if SPLITS > 1
  @builtin(num_workgroups) groups: vec3<u32>,
//#endif
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.y;
  let head = group.x;
  let shared_head = head / SHARE * COLUMNS;
  let seen = min(u32(length[0]) + row + 1u, CAPACITY);
//#if SPLITS > 1
  // With fewer keys than workgroups some have none.
  let part_keys = (seen + ${SPLITS - 1}u) / ${SPLITS}u;
  let start = group.z * part_keys;
  let end = min(start + part_keys, seen);
//#else
  let start = 0u;
  let end = seen;
//#endif
  for (var i = thread; i < COLUMNS; i += THREADS) {
    query[i] = part(q[row * Q_STRIDE + Q_OFFSET + head * COLUMNS + i]) * SCALE;
  }
  workgroupBarrier();
  let column = thread % COLUMNS;
  let slice = thread / COLUMNS;
  var largest = LOWEST;
  var total = 0.0;
  var mine = part();
  for (var first = start; first < end; first += THREADS) {
    let key = first + thread;
    var score = LOWEST;
    if (key < end) {
      let at = key * K_STRIDE + shared_head;
      var dots = part();
//#if LOADS > 1
//#for i 0 ${D / VEC}
      let key_${i} = part(keys[at + ${i}u]);
//#endfor
//#for i 0 ${D / VEC}
      dots += query[${i}] * key_${i};
//#endfor
//#else
      for (var i = 0u; i < COLUMNS; i++) {
        dots += query[i] * part(keys[at + i]);
      }
//#endif
//#if VEC == 4
      score = dots.x + dots.y + dots.z + dots.w;
//#else
      score = dots;
//#endif
    }
//#if SUBGROUPS
    let highest = subgroupMax(score);
    if (thread % LANES == 0u) { reduced[thread / LANES] = highest; }
    workgroupBarrier();
    var top = largest;
    for (var s = 0u; s < THREADS / LANES; s++) { top = max(top, reduced[s]); }
//#else
    reduced[thread] = score;
    workgroupBarrier();
    for (var half = ${POWER / 2}u; half > 0u; half /= 2u) {
      if (thread < half && thread + half < THREADS) {
        reduced[thread] = max(reduced[thread], reduced[thread + half]);
      }
      workgroupBarrier();
    }
    let top = max(largest, reduced[0]);
//#endif
    weights[thread] = select(exp(score - top), 0.0, key >= end);
    workgroupBarrier();
    let keep = exp(largest - top);
    largest = top;
    total = total * keep + weights[thread];
    mine *= keep;
    if (slice < SLICES) {
      let count = min(THREADS, end - first);
      for (var j = slice; j < count; j += SLICES * ${LOADS}u) {
//#for u 0 ${LOADS}
        let j_${u} = min(j + ${u}u * SLICES, count - 1u);
        let value_${u} = part(values[(first + j_${u}) * K_STRIDE + shared_head + column]);
//#endfor
//#for u 0 ${LOADS}
        mine += select(0.0, weights[j_${u}], j + ${u}u * SLICES < count) * value_${u};
//#endfor
      }
    }
    workgroupBarrier();
  }
  sums[thread] = mine;
//#if SUBGROUPS
  let share = subgroupAdd(total);
  if (thread % LANES == 0u) { reduced[thread / LANES] = share; }
  workgroupBarrier();
  var weight = 0.0;
  for (var s = 0u; s < THREADS / LANES; s++) { weight += reduced[s]; }
//#else
  reduced[thread] = total;
  workgroupBarrier();
  for (var half = ${POWER / 2}u; half > 0u; half /= 2u) {
    if (thread < half && thread + half < THREADS) {
      reduced[thread] += reduced[thread + half];
    }
    workgroupBarrier();
  }
  let weight = reduced[0];
//#endif
  if (thread < COLUMNS) {
    var sum = sums[thread];
    for (var s = 1u; s < SLICES; s++) {
      sum += sums[s * COLUMNS + thread];
    }
//#if SPLITS > 1
    let at = ((row * groups.x + head) * ${SPLITS}u + group.z) * ${D + 2}u;
//#if VEC == 4
//#for i 0 4
    out[at + thread * 4u + ${i}u] = sum[${i}];
//#endfor
//#else
    out[at + thread] = sum;
//#endif
    if (thread == 0u) {
      out[at + ${D}u] = largest;
      out[at + ${D + 1}u] = weight;
    }
//#else
//#if VEC == 4
    out[row * O_STRIDE + head * COLUMNS + thread] = vec4s(sum / weight);
//#else
    out[row * O_STRIDE + head * COLUMNS + thread] = scalar(sum / weight);
//#endif
//#endif
  }
}
