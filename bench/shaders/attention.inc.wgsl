// What both attentions are told: which keys count, how many rows there are, and where q, k and v lie.
//#if MASK
@group(0) @binding(3) var<storage, read> mask: array<i32>;
//#endif
//#if CACHE
@group(0) @binding(3) var<storage, read> length: array<i32>;
//#endif

override T: u32;
//#if CACHE
override CAPACITY: u32;
override SHARE: u32;
//#else
override S: u32;
//#endif
override SCALE: f32;
override Q_STRIDE: u32;
override K_STRIDE: u32;
override V_STRIDE: u32;
override O_STRIDE: u32;
override Q_OFFSET: u32;
override K_OFFSET: u32;
override V_OFFSET: u32;
