// out[B, H] = sum over t of x[b, t] * mask[b, t] / max(sum of mask[b], 1e-9): one thread a feature.
//#include common
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read> mask: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<scalar>;

override T: u32;
override H: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let feature = id.x;
  let batch = id.y;
  if (feature >= H) {
    return;
  }
  var sum = 0.0;
  var count = 0.0;
  for (var t = 0u; t < T; t++) {
    let m = f32(mask[batch * T + t]);
    sum += m * f32(x[(batch * T + t) * H + feature]);
    count += m;
  }
  out[batch * H + feature] = scalar(sum / max(count, 1e-9));
}
