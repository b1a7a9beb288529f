import pytest

from bench.models.graph import Graph, Weight
from bench.quantize.policy import bits_mean, matrices, plan_bits

GRAPH = Graph(
    "toy",
    "bert",
    (),
    (
        Weight("table", (10, 4), "embedding"),
        Weight("q", (4, 4), "attention"),
        Weight("up", (16, 4), "feed_forward"),
        Weight("pooler", (4, 4), "head"),
        Weight("bias", (4,), "vector"),
    ),
    (),
    (),
)


def test_uniform_means_every_matrix():
    assert plan_bits(GRAPH, 4, mixed=False) == {"table": 4, "q": 4, "up": 4, "pooler": 4}
    assert [w.name for w in matrices(GRAPH)] == ["table", "q", "up", "pooler"]


@pytest.mark.parametrize("bits", [4, 2])
def test_mixed_protects_attention_and_embeddings(bits):
    plan = plan_bits(GRAPH, bits, mixed=True)
    assert plan == {"table": 8, "q": 8, "up": bits, "pooler": bits}
    assert bits_mean(GRAPH, plan) == ((40 + 16) * 8 + (64 + 16) * bits) / 136


@pytest.mark.parametrize("bits", [16, 8])
def test_mixed_changes_nothing_where_nothing_can_be_raised(bits):
    plan = plan_bits(GRAPH, bits, mixed=True)
    assert plan == plan_bits(GRAPH, bits, mixed=False)
    assert bits_mean(GRAPH, plan) == bits


def test_a_graph_without_matrices_has_no_mean():
    with pytest.raises(ValueError, match="no matrix"):
        bits_mean(Graph("none", "bert", (), (), (), ()), {})
