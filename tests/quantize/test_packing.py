import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quantize.packing import pack, pack_f16, to_f16, unpack, unpack_f16, words_per_row


@given(
    bits=st.sampled_from([2, 4, 8]), n=st.integers(0, 5), k=st.integers(1, 70), seed=st.integers(0, 2**32 - 1)
)
def test_round_trip_is_exact(bits, n, k, seed):
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (n, k), dtype=np.uint8)
    words = pack(codes, bits)
    assert words.dtype == np.uint32
    assert words.shape == (n, -(-k * bits // 32)) == (n, words_per_row(k, bits))
    assert np.array_equal(unpack(words, bits, k), codes)


@given(bits=st.sampled_from([2, 4, 8]), k=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_each_code_is_where_the_kernels_look(bits, k, seed):
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (3, k), dtype=np.uint8)
    words = pack(codes, bits)
    per = 32 // bits
    for row in range(3):
        for column in range(words.shape[1] * per):
            got = (int(words[row, column // per]) >> (column % per * bits)) & ((1 << bits) - 1)
            assert got == (codes[row, column] if column < k else 0)


def test_by_hand():
    assert pack(np.array([[1, 2, 3]], np.uint8), 8).tolist() == [[0x030201]]
    assert pack(np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9]], np.uint8), 4).tolist() == [[0x87654321, 0x9]]
    assert pack(np.array([[3, 0, 1]], np.uint8), 2).tolist() == [[0b010011]]
    assert pack_f16(np.array([[1.0, -2.0, 0.5]])).tolist() == [[0xC0003C00, 0x3800]]


@given(n=st.integers(0, 4), k=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_half_floats_round_trip(n, k, seed):
    values = np.random.default_rng(seed).normal(0, 100, (n, k)).astype(np.float32)
    words = pack_f16(values)
    assert words.shape == (n, (k + 1) // 2)
    assert np.array_equal(unpack_f16(words, k), values.astype(np.float16))


def test_half_floats_saturate():
    assert to_f16([1e6, -1e6]).tolist() == [65504.0, -65504.0]


def test_refusals():
    with pytest.raises(ValueError, match="bits must be one of"):
        pack(np.zeros((1, 1), np.uint8), 3)
    with pytest.raises(ValueError, match="code 4 does not fit in 2 bits"):
        pack(np.full((1, 1), 4, np.uint8), 2)
    with pytest.raises(ValueError, match="N, K"):
        pack(np.zeros(3, np.uint8), 2)
    with pytest.raises(ValueError, match="need 2 words a row"):
        unpack(np.zeros((1, 1), np.uint32), 8, 5)
    with pytest.raises(ValueError, match="need 3 words a row"):
        unpack_f16(np.zeros((1, 1), np.uint32), 5)
    with pytest.raises(ValueError, match="not finite"):
        pack_f16(np.array([[np.inf]]))
    with pytest.raises(ValueError, match="N, K"):
        pack_f16(np.zeros(3))
