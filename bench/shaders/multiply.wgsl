// out[R, N] = act(a) * b, element by element; a and b may be columns of wider buffers.
//#include common
@group(0) @binding(0) var<storage, read> a: array<scalar>;
@group(0) @binding(1) var<storage, read> b: array<scalar>;
@group(0) @binding(2) var<storage, read_write> out: array<scalar>;
//#include activation

override COUNT: u32;
override N: u32;
override A_STRIDE: u32;
override A_OFFSET: u32;
override B_STRIDE: u32;
override B_OFFSET: u32;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.x + id.y * groups.x * 256u;
  if (index < COUNT) {
    let row = index / N;
    let i = index % N;
    let gate = activate(f32(a[row * A_STRIDE + A_OFFSET + i]));
    out[index] = scalar(gate * f32(b[row * B_STRIDE + B_OFFSET + i]));
  }
}
