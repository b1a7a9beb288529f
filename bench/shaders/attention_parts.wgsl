// out[T, heads * D] = what SPLITS workgroups of attention_row.wgsl found, each for its share of a head's keys: D sums of
// values, weighted from its own maximum; that maximum; and the sum of its weights. A share without keys has weights of 0
// and a maximum below all others.
//#include common
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<scalar>;

override COUNT: u32;
const D = ${D}u;
const SPLITS = ${SPLITS}u;
const PART = D + 2u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.x + id.y * groups.x * 64u;
  if (index >= COUNT) {
    return;
  }
  let first = index / D * SPLITS * PART;
  var largest = parts[first + D];
  for (var s = 1u; s < SPLITS; s++) {
    largest = max(largest, parts[first + s * PART + D]);
  }
  var sum = 0.0;
  var weight = 0.0;
  for (var s = 0u; s < SPLITS; s++) {
    let at = first + s * PART;
    let keep = exp(parts[at + D] - largest);
    sum += keep * parts[at + index % D];
    weight += keep * parts[at + D + 1u];
  }
  out[index] = scalar(sum / weight);
}
