// ACT: 0 none, 1 gelu (erf), 2 gelu (tanh), 3 relu, 4 tanh, 5 sigmoid, 6 silu, 7 that which is told at each call.

// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
fn erf_(x: f32) -> f32 {
  let a = abs(x);
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return sign(x) * (1.0 - poly * exp(-a * a));
}

// tanh overflows in some drivers beyond about 40; it is 1 to the last bit long before.
fn tanh_(x: f32) -> f32 {
  return tanh(clamp(x, -15.0, 15.0));
}

fn gelu(x: f32) -> f32 {
  return 0.5 * x * (1.0 + erf_(x * 0.7071067811865476));
}

fn gelu_tanh(x: f32) -> f32 {
  return 0.5 * x * (1.0 + tanh_(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

fn sigmoid(x: f32) -> f32 {
  return 0.5 + 0.5 * tanh_(0.5 * x);
}

//#if ACT == 7
@group(0) @binding(13) var<uniform> kind: vec4<u32>;
//#endif

fn activate(x: f32) -> f32 {
//#if ACT == 7
  switch kind.x {
    case 1u: { return gelu(x); }
    case 2u: { return gelu_tanh(x); }
    case 3u: { return max(x, 0.0); }
    case 4u: { return tanh_(x); }
    case 5u: { return sigmoid(x); }
    case 6u: { return x * sigmoid(x); }
    default: { return x; }
  }
//#endif
//#if ACT == 1
  return gelu(x);
//#endif
//#if ACT == 2
  return gelu_tanh(x);
//#endif
//#if ACT == 3
  return max(x, 0.0);
//#endif
//#if ACT == 4
  return tanh_(x);
//#endif
//#if ACT == 5
  return sigmoid(x);
//#endif
//#if ACT == 6
  return x * sigmoid(x);
//#endif
//#if ACT == 0
  return x;
//#endif
}
