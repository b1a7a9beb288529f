import pytest

from bench.models.graph import Weight
from bench.quantize.recipe import Format, Recipe, bits_mean, matrices, mixed, uniform

WEIGHTS = (
    Weight("table", (10, 4), "embedding"),
    Weight("q", (4, 4), "attention"),
    Weight("up", (16, 4), "feed_forward"),
    Weight("pooler", (4, 4), "head"),
    Weight("bias", (4,), "vector"),
)


def bits_of(recipe):
    return {name: how.bits for name, how in recipe.formats(WEIGHTS).items()}


def test_uniform_means_every_matrix():
    assert bits_of(uniform(4)) == {"table": 4, "q": 4, "up": 4, "pooler": 4}
    assert [w.name for w in matrices(WEIGHTS)] == ["table", "q", "up", "pooler"]


@pytest.mark.parametrize("bits", [4, 2])
def test_mixed_protects_attention_and_embeddings(bits):
    recipe = mixed(WEIGHTS, bits)
    assert bits_of(recipe) == {"table": 8, "q": 8, "up": bits, "pooler": bits}
    assert bits_mean(WEIGHTS, recipe) == ((40 + 16) * 8 + (64 + 16) * bits) / 136


@pytest.mark.parametrize("bits", [16, 8])
def test_mixed_changes_nothing_where_nothing_can_be_raised(bits):
    assert mixed(WEIGHTS, bits) == uniform(bits)
    assert bits_mean(WEIGHTS, mixed(WEIGHTS, bits)) == bits


def test_half_floats_have_neither_group_nor_scheme():
    assert uniform(16, 64, "asymmetric").default == Format(16)
    assert (Format(16).scheme, Format(16).step) == (None, 2)


@pytest.mark.parametrize(("scheme", "zero"), [("symmetric", "middle"), ("asymmetric", "integer")])
def test_a_scheme_is_where_the_zero_point_is(scheme, zero):
    how = uniform(4, 64, scheme).default
    assert (how.zero, how.scheme, how.step) == (zero, scheme, 64)


def test_any_layer_may_have_a_format_of_its_own():
    recipe = Recipe("least-squares", Format(4, 32, "middle"), {"up": Format(2, 16, "integer")})
    assert bits_of(recipe) == {"table": 4, "q": 4, "up": 2, "pooler": 4}


def test_no_matrix_has_no_mean():
    with pytest.raises(ValueError, match="there is none"):
        bits_mean(WEIGHTS[-1:], uniform(4))
