// out[B, H] = x[b * T, H]: the row of each sequence's first token.
//#include common
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read_write> out: array<scalar>;

override T: u32;
override H: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < H) {
    out[id.y * H + id.x] = x[id.y * T * H + id.x];
  }
}
