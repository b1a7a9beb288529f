// Reading and nothing else: each invocation adds up every STRIDE-th vector of a buffer larger than caches are, its
// neighbours the neighbouring ones. What it writes is a millionth of what it reads.
@group(0) @binding(0) var<storage, read> data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

override STRIDE: u32;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var sum = vec4<f32>(0.0);
  let count = arrayLength(&data);
  for (var i = id.x; i < count; i += STRIDE) {
    sum += data[i];
  }
  out[id.x] = sum.x + sum.y + sum.z + sum.w;
}
