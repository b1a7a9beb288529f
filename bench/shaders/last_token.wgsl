// out[1, H] = the last of the T rows of x.
//#include common
//#if WIDE
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
//#else
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read_write> out: array<scalar>;
//#endif

override T: u32;
override H: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < H) {
    out[id.x] = x[(T - 1u) * H + id.x];
  }
}
