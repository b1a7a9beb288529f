// The largest of each part of PART logits: a workgroup a part.
//#include common
//#include best
//#if WIDE
@group(0) @binding(0) var<storage, read> logits: array<f32>;
//#else
@group(0) @binding(0) var<storage, read> logits: array<scalar>;
//#endif
@group(0) @binding(1) var<storage, read_write> parts: array<vec2<f32>>;

override V: u32;
override PART: u32;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var mine = LOWEST;
  let end = min(V, (group.x + 1u) * PART);
  for (var i = group.x * PART + thread; i < end; i += THREADS) {
    mine = better(mine, vec2<f32>(f32(logits[i]), f32(i)));
  }
  let best = best_of_all(thread, mine);
  if (thread == 0u) {
    parts[group.x] = best;
  }
}
