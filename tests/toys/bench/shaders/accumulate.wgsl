// total += sum of the ROWS rows of x, seen += ROWS, out = total / seen: one workgroup, a thread a column.
//#include common
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read_write> total: array<scalar>;
@group(0) @binding(2) var<storage, read_write> seen: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<scalar>;

override ROWS: u32;
override H: u32;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  let count = seen[0] + i32(ROWS);
  for (var column = lane; column < H; column += 64u) {
    var sum = f32(total[column]);
    for (var row = 0u; row < ROWS; row++) {
      sum += f32(x[row * H + column]);
    }
    total[column] = scalar(sum);
    out[column] = scalar(sum / f32(count));
  }
  workgroupBarrier(); // everyone has read the count
  if (lane == 0u) {
    seen[0] = count;
  }
}
