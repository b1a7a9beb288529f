// The larger of two logits (x: its value, y: its index); of equals the first.
fn better(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  if (b.x > a.x || (b.x == a.x && b.y < a.y)) {
    return b;
  }
  return a;
}

const THREADS = ${THREADS}u;
const LOWEST = vec2<f32>(-3.4e38, 16777216.0); // an index that no vocabulary reaches, and float32 still counts
var<workgroup> found: array<vec2<f32>, THREADS>;

fn best_of_all(thread: u32, mine: vec2<f32>) -> vec2<f32> {
  found[thread] = mine;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      found[thread] = better(found[thread], found[thread + half]);
    }
    workgroupBarrier();
  }
  return found[0];
}
