import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.quantize.methods import SCALE_MIN, dequantize, quantize
from bench.quantize.packing import f16_exponent, pack, pack_f16, unpack_f16

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 150))
BITS = st.sampled_from([8, 4, 2])
GROUPS = st.sampled_from([16, 32, 64, 128])
SCHEMES = st.sampled_from(["symmetric", "asymmetric"])
SEEDS = st.integers(0, 2**32 - 1)


def matrix(seed, shape, sigma=0.04, shift=0.0):
    return (np.random.default_rng(seed).standard_t(4, shape) * sigma + shift).astype(np.float32)


def spread(q, per_group):
    """[N, G] repeated along K to [N, k]; scales with the matrix's power of two."""
    if per_group is q.scales:
        per_group = np.ldexp(per_group.astype(np.float64), q.exponent)
    return np.repeat(per_group.astype(np.float64), q.group_size, axis=1)[:, : q.k]


@given(
    seed=SEEDS, shape=SHAPES, bits=BITS, group=GROUPS, scheme=SCHEMES, shift=st.sampled_from([0, 0.1, -0.3])
)
def test_error_is_half_a_step_unless_clipped(seed, shape, bits, group, scheme, shift):
    w = matrix(seed, shape, shift=shift)
    q = quantize(w, bits, group, scheme)
    groups = -(-shape[1] // group)
    assert q.codes.shape == (shape[0], groups * group)
    assert q.scales.shape == (shape[0], groups)
    assert q.scheme == scheme
    assert q.codes.dtype == np.uint8
    assert q.scales.dtype == np.float16
    assert (q.scales >= SCALE_MIN).all()
    assert np.isfinite(q.scales).all()
    assert q.codes.max() < 1 << bits
    inside = (q.codes[:, : q.k] > 0) & (q.codes[:, : q.k] < (1 << bits) - 1)
    error = np.abs(dequantize(q) - w.astype(np.float64))
    assert (error <= spread(q, q.scales) * 0.5001)[inside].all()


@given(seed=SEEDS, shape=SHAPES, bits=BITS, group=GROUPS, scheme=SCHEMES)
def test_dequantize_is_the_formula(seed, shape, bits, group, scheme):
    q = quantize(matrix(seed, shape), bits, group, scheme)
    zeros = np.full(q.scales.shape, 1 << (bits - 1)) if q.zeros is None else q.zeros
    codes = q.codes[:, : q.k].astype(np.float64)
    assert np.array_equal(dequantize(q), (codes - spread(q, zeros)) * spread(q, q.scales))


@given(seed=SEEDS, bits=BITS, group=GROUPS, scheme=SCHEMES, k=st.integers(1, 100))
def test_padding_has_the_value_zero(seed, bits, group, scheme, k):
    q = quantize(matrix(seed, (3, k), shift=0.1), bits, group, scheme)
    zeros = np.full(q.scales.shape, 1 << (bits - 1)) if q.zeros is None else q.zeros
    wide = np.repeat(zeros, group, axis=1)
    assert np.array_equal(q.codes[:, k:], wide[:, k:])


@given(seed=SEEDS, shape=SHAPES, bits=BITS, group=GROUPS, scheme=SCHEMES)
def test_quantizing_again_keeps_the_values(seed, shape, bits, group, scheme):
    once = dequantize(quantize(matrix(seed, shape), bits, group, scheme))
    twice = dequantize(quantize(once, bits, group, scheme))
    # One more rounding of the scale to float16 is all that may differ.
    assert np.allclose(twice, once, rtol=2**-10, atol=0)


@given(seed=SEEDS, bits=st.sampled_from([4, 2]), k=st.integers(16, 100))
def test_search_is_never_worse_than_plain_rounding(seed, bits, k):
    w = matrix(seed, (4, k))
    q = quantize(w, bits, 32, "symmetric")
    top = (1 << (bits - 1)) - 1
    padded = np.zeros((4, q.codes.shape[1]), np.float32)
    padded[:, :k] = w
    amax = np.abs(padded.reshape(4, -1, 32)).max(axis=2)
    scale = spread(q, np.maximum(amax / top, SCALE_MIN).astype(np.float16))
    plain = np.clip(np.rint(w / scale), -top - 1, top) * scale
    assert np.sum((dequantize(q) - w) ** 2.0) <= np.sum((plain - w) ** 2.0) * (1 + 1e-5)


@given(seed=SEEDS, bits=BITS, k=st.integers(1, 100), shift=st.sampled_from([0, 0.1, -1]))
def test_a_zero_point_never_hurts(seed, bits, k, shift):
    w = matrix(seed, (4, k), shift=shift)
    error = {
        s: np.sum((dequantize(quantize(w, bits, 32, s)) - w) ** 2.0) for s in ("symmetric", "asymmetric")
    }
    assert error["asymmetric"] <= error["symmetric"] * (1 + 1e-5)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_zero_point_helps_one_sided_weights(bits):
    w = np.abs(matrix(1, (16, 256)))
    symmetric = np.linalg.norm(dequantize(quantize(w, bits, 32, "symmetric")) - w)
    asymmetric = np.linalg.norm(dequantize(quantize(w, bits, 32, "asymmetric")) - w)
    assert asymmetric < 0.75 * symmetric


@given(exponent=st.integers(-149, 127), bits=BITS, scheme=SCHEMES, sign=st.sampled_from([1, -1]), seed=SEEDS)
@example(exponent=127, bits=4, scheme="asymmetric", sign=1, seed=0)
def test_any_magnitude_gives_finite_values(exponent, bits, scheme, sign, seed):
    fractions = np.random.default_rng(seed).uniform(-1, 1, (2, 40)).astype(np.float32)
    fractions[0, 3] = sign
    w = np.ldexp(fractions, exponent).astype(np.float32)
    q = quantize(w, bits, 16, scheme)
    values = dequantize(q)
    assert np.isfinite(values).all()
    assert ((q.scales >= SCALE_MIN) & (q.scales <= 65504)).all()
    if exponent < -14:
        assert np.abs(values - w).max() <= SCALE_MIN  # below float16's normal range only this much is kept
    elif exponent < 10:
        assert np.abs(values - w).max() <= 2.0**exponent * {8: 0.006, 4: 0.2, 2: 0.75}[bits] + SCALE_MIN / 2


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_zero_groups(bits, scheme):
    w = matrix(3, (2, 64))
    w[0, 32:] = 0
    q = quantize(w, bits, 32, scheme)
    assert q.scales[0, 1] == 1
    zero = 1 << (bits - 1) if q.zeros is None else q.zeros[0, 1]
    assert (q.codes[0, 32:] == zero).all()
    assert (dequantize(q)[0, 32:] == 0).all()


@pytest.mark.parametrize(("bits", "least"), [(8, 0.46), (4, 0.71), (2, 0.84)])
def test_memory_reduction_at_groups_of_32(bits, least):
    q = quantize(matrix(4, (384, 384)), bits, 32, "symmetric")
    size = pack(q.codes, bits).nbytes + q.scales.nbytes
    assert 1 - size / (2 * 384 * 384) >= least


@pytest.mark.parametrize(("bits", "least"), [(8, 42), (4, 18.5), (2, 7.2)])
def test_signal_to_noise_of_heavy_tailed_weights(bits, least):
    w = (np.random.default_rng(0).standard_t(5, (64, 1024)) * 0.04).astype(np.float32)
    noise = dequantize(quantize(w, bits, 32, "symmetric")) - w
    assert 10 * np.log10(np.sum(w**2) / np.sum(noise**2)) > least


def test_chunks_do_not_show():
    w = matrix(5, (700, 200))
    whole = quantize(w, 4, 32, "asymmetric")
    last = quantize(w[-1:], 4, 32, "asymmetric")
    assert np.array_equal(whole.codes[-1:], last.codes)
    assert np.array_equal(whole.scales[-1:], last.scales)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_weights_are_refused(bad):
    w = matrix(6, (4, 40))
    w[2, 7] = bad
    with pytest.raises(ValueError, match="not finite"):
        quantize(w, 4, 32, "symmetric")


def test_refusals():
    w = matrix(6, (4, 40))
    for arguments in ((3, 32, "symmetric"), (4, 31, "symmetric"), (4, 32, "odd")):
        with pytest.raises(ValueError, match="allowed are"):
            quantize(w, *arguments)
    with pytest.raises(ValueError, match="N, K"):
        quantize(w[0], 4, 32, "symmetric")
    with pytest.raises(ValueError, match="N, K"):
        quantize(w[:0], 4, 32, "symmetric")


# Of weights as pretrained models have them, at magnitudes that no pretrained model has.
MAGNITUDES = st.floats(-6, np.log10(6e4)).map(lambda power: 10.0**power)


@given(seed=SEEDS, shape=SHAPES, bits=BITS, group=GROUPS, scheme=SCHEMES, size=MAGNITUDES)
@example(seed=1, shape=(3, 100), bits=8, group=32, scheme="symmetric", size=1e-3)
@example(seed=1, shape=(3, 100), bits=8, group=32, scheme="asymmetric", size=1e-6)
@example(seed=1, shape=(3, 100), bits=2, group=32, scheme="asymmetric", size=6e4)
def test_a_magnitude_changes_no_digit(seed, shape, bits, group, scheme, size):
    """The error of weights of any size is that of the same weights near 1, in proportion."""
    w = matrix(seed, shape, sigma=0.5)
    plain = dequantize(quantize(w, bits, group, scheme)).astype(np.float64)
    small = (w * np.float32(size)).astype(np.float32)
    found = dequantize(quantize(small, bits, group, scheme)).astype(np.float64)
    error, usual = np.linalg.norm(found - small), np.linalg.norm(plain - w) * size
    assert error <= usual * 1.02 + np.linalg.norm(small) * 1e-3
    assert (quantize(small, bits, group, scheme).scales >= SCALE_MIN).all()


@given(seed=SEEDS, powers=st.lists(st.integers(-6, 4), min_size=2, max_size=5), bits=BITS, scheme=SCHEMES)
def test_each_row_keeps_its_digits_beside_any_other(seed, powers, bits, scheme):
    """Rows of a matrix that lie up to five powers of ten apart: each is as exact as it is alone.

    Scales of 8 bits span six and a half; the groups within a row lie apart as well.
    """
    floor = max(powers) - 5
    sizes = np.array([10.0 ** max(power, floor) for power in powers], np.float32)[:, None]
    w = matrix(seed, (len(powers), 64), sigma=0.5) * sizes
    together = dequantize(quantize(w, bits, 32, scheme))
    for row, alone in enumerate(w):
        single = dequantize(quantize(alone[None], bits, 32, scheme))[0]
        lost = np.linalg.norm(together[row].astype(np.float64) - alone)
        assert lost <= np.linalg.norm(single.astype(np.float64) - alone) * 1.02 + np.linalg.norm(alone) * 1e-3


@given(seed=SEEDS, shape=SHAPES, size=MAGNITUDES)
@example(seed=0, shape=(4, 150), size=1e-6)
@example(seed=0, shape=(4, 150), size=6e4)
def test_sixteen_bits_keep_float16s_digits(seed, shape, size):
    w = (np.clip(matrix(seed, shape, sigma=0.3), -1, 1) * np.float32(size)).astype(np.float32)
    exponent = f16_exponent(w)
    found = np.ldexp(unpack_f16(pack_f16(np.ldexp(w, -exponent)), w.shape[1]).astype(np.float32), exponent)
    rows = np.abs(w).max(axis=1, keepdims=True)
    assert (np.abs(found - w) <= np.maximum(np.abs(w) * 2.0**-11, rows * 2.0**-17)).all()


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e30, 1e37])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_the_ends_of_float32(size, bits):
    w = matrix(3, (4, 64), sigma=0.5) * np.float32(size)
    found = dequantize(quantize(w, bits, 32, "symmetric")).astype(np.float64)
    assert np.isfinite(found).all()
    if size != 1e-38:  # which is where float32's own digits end
        plain = matrix(3, (4, 64), sigma=0.5)
        usual = np.linalg.norm(dequantize(quantize(plain, bits, 32, "symmetric")) - plain)
        assert np.linalg.norm(found / size - w / np.float64(size)) <= usual * 1.02
