"""Exported files run in onnxruntime on the processor and give what our NumPy reference gives."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_model
import tiny_whisper
from bundled import pack_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.bundle.weights import quantization
from bench.export.onnx_graph import to_onnx
from bench.export.onnx_nodes import Form
from bench.export.onnx_weights import NotInOnnx
from bench.models import bert, whisper
from bench.models.graph import Graph, Input, Node, Weight
from bench.models.program import single
from bench.models.sentence_modules import Pooling
from bench.quantize import formats
from bench.quantize import recipe as recipes
from bench.reference.compare import kernel_rel_l2
from bench.reference.execute import run

BOUND = 1e-3


class Source:
    """Tensors by name, as `bench.bundle` reads them from a model."""

    name, folder = "tiny", None

    def __init__(self, tensors):
        self.tensors = tensors

    def load(self, name):
        return self.tensors[name]


def packed(program, tensors, bits, *, mixed=False, group=32, scheme="symmetric"):
    """Quantization table and packed tensors, as in a bundle."""
    recipe = recipes.planned(program.weights, bits, raised=mixed, group_size=group, scheme=scheme)
    table = quantization(program.weights, recipe)
    stored, exponents = pack_weights(Source(tensors), program.weights, recipe)
    return {name: {**how, "exponent": exponents.get(name, 0)} for name, how in table.items()}, stored


def reference(program, table, stored, inputs):
    weights = {weight.name: unpacked(weight.name, table, stored) for weight in program.weights}
    return run(program, weights, inputs)


def unpacked(name, table, stored):
    """The values that our own kernels see."""
    if name not in table:
        return np.asarray(stored[name], np.float32)
    how = table[name]
    names = ("codes", "scales", "zeros")
    parts = {part: stored[f"{name}.{part}"] for part in names if f"{name}.{part}" in stored}
    asked = recipes.uniform(how["bits"], how["group_size"] or 32, how["scheme"] or "symmetric").default
    return formats.restore(parts, asked, how["k"], how["exponent"])


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def distance(program, table, stored, inputs, form=None):
    """The relative L2 distance of the exported file's answers from the reference's."""
    model = to_onnx(program, table, stored, form)
    onnx.checker.check_model(onnx.load_from_string(model))
    opened = session(model)
    types = {one.name: np.float16 if "float16" in one.type else None for one in opened.get_inputs()}
    given_ = {name: inputs[name].astype(kind or inputs[name].dtype) for name, kind in types.items()}
    names = [one.name for one in opened.get_outputs()]
    assert names == list(program.main.outputs)
    truth = reference(program, table, stored, inputs)
    got = dict(zip(names, opened.run(names, given_), strict=True))
    flat = {name: np.asarray(value, np.float32).reshape(truth[name].shape) for name, value in got.items()}
    return kernel_rel_l2([flat], [truth])


def bert_inputs(program, seed=0):
    rng = np.random.default_rng(seed)
    found = {i.name: rng.integers(0, i.maximum, i.shape).astype(np.int32) for i in program.main.inputs}
    found["attention_mask"] = np.ones_like(found["attention_mask"])
    length = program.main.inputs[0].shape[1]
    found["attention_mask"][-1, max(1, length // 2) :] = 0
    return found


def whisper_inputs(program, seed=0):
    rng = np.random.default_rng(seed)
    return {
        item.name: rng.normal(size=item.shape).astype(np.float32)
        if item.dtype == "float32"
        else rng.integers(0, item.maximum, item.shape).astype(np.int32)
        for item in program.main.inputs
    }


def config_of(kind, **changes):
    """A tiny config of a model type, and tensors for its head."""
    if kind == "distilbert":
        return {
            "model_type": "distilbert", "architectures": ["DistilBertModel"], "dim": 24, "n_layers": 2,
            "n_heads": 3, "hidden_dim": 40, "activation": "gelu", "max_position_embeddings": 33,
            "vocab_size": 50, "pad_token_id": 0, **changes,
        }  # fmt: skip
    names = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}
    model = {"model_type": kind, "architectures": [f"{names[kind]}Model"]}
    return {**tiny_model.CONFIG, **model, "pad_token_id": 1 if kind != "bert" else 0, **changes}


def encoder(kind="bert", *, batch=2, sequence=7, pooling=None, **changes):
    tensors = tiny_model.tensors(config_of(kind, **changes))
    shapes = {name: value.shape for name, value in tensors.items()}
    config = config_of(kind, **changes)
    program = bert.build(config, shapes, batch=batch, sequence=sequence, name=f"tiny-{kind}", pooling=pooling)
    return program, tensors


def headed(architecture, more, **changes):
    """A BERT with a head: `more` are the head's tensors."""
    config = {**tiny_model.CONFIG, "architectures": [architecture], **changes}
    bare = {f"bert.{name}": value for name, value in tiny_model.tensors().items()}
    rng = np.random.default_rng(1)
    head = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in more.items()}
    if architecture != "BertForSequenceClassification":
        bare = {name: value for name, value in bare.items() if "pooler" not in name}
    tensors = {**bare, **head}
    shapes = {name: value.shape for name, value in tensors.items()}
    return bert.build(config, shapes, batch=2, sequence=5, name=architecture), tensors


HEADS = {
    "BertForSequenceClassification": {"classifier.weight": (3, 24), "classifier.bias": (3,)},
    "BertForTokenClassification": {"classifier.weight": (5, 24), "classifier.bias": (5,)},
    "BertForQuestionAnswering": {"qa_outputs.weight": (2, 24), "qa_outputs.bias": (2,)},
    "BertForMaskedLM": {
        "cls.predictions.transform.dense.weight": (24, 24),
        "cls.predictions.transform.dense.bias": (24,),
        "cls.predictions.transform.LayerNorm.weight": (24,),
        "cls.predictions.transform.LayerNorm.bias": (24,),
        "cls.predictions.bias": (50,),
    },
}
FORMS = [(16, "symmetric"), *((bits, scheme) for bits in (8, 4, 2) for scheme in ("symmetric", "asymmetric"))]


@pytest.mark.parametrize(("bits", "scheme"), FORMS)
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "camembert", "distilbert"])
def test_encoders(kind, bits, scheme):
    program, tensors = encoder(kind)
    table, stored = packed(program, tensors, bits, group=16, scheme=scheme)
    assert distance(program, table, stored, bert_inputs(program)) <= BOUND


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("architecture", HEADS)
def test_heads(architecture, bits):
    program, tensors = headed(architecture, HEADS[architecture])
    table, stored = packed(program, tensors, bits, mixed=bits == 4)
    assert distance(program, table, stored, bert_inputs(program)) <= BOUND


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_what_a_pipeline_makes_of_the_logits(problem):
    more = HEADS["BertForSequenceClassification"]
    program, tensors = headed("BertForSequenceClassification", more, problem_type=problem)
    table, stored = packed(program, tensors, 8)
    assert distance(program, table, stored, bert_inputs(program)) <= BOUND


@pytest.mark.parametrize("activations", ["f32", "f16"])
@pytest.mark.parametrize("pooling", [Pooling("mean", True), Pooling("cls", False)])
def test_sentence_models(pooling, activations):
    program, tensors = encoder(pooling=pooling)
    table, stored = packed(program, tensors, 4)
    bound = {"f32": BOUND, "f16": 5e-3}[activations]
    assert distance(program, table, stored, bert_inputs(program), Form(activations=activations)) <= bound


@pytest.mark.parametrize("kind", ["gelu_new", "relu"])
def test_other_activations(kind):
    program, tensors = encoder(hidden_act=kind)
    table, stored = packed(program, tensors, 16)
    assert distance(program, table, stored, bert_inputs(program)) <= BOUND


@pytest.mark.parametrize(("bits", "scheme"), FORMS)
def test_whisper(bits, scheme):
    tensors = tiny_whisper.tensors()
    shapes = {name: value.shape for name, value in tensors.items()}
    program = whisper.build(tiny_whisper.CONFIG, shapes, batch=2, sequence=11, name="tiny-whisper")
    table, stored = packed(program, tensors, bits, group=16, scheme=scheme)
    assert distance(program, table, stored, whisper_inputs(program)) <= BOUND


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    k=st.integers(1, 70),
    n=st.integers(1, 40),
    rows=st.integers(1, 9),
    bits=st.sampled_from([16, 8, 4, 2]),
    group=st.sampled_from([16, 32, 64, 128]),
    scheme=st.sampled_from(["symmetric", "asymmetric"]),
    exponent=st.sampled_from([0, 0, -30, 40]),
)
def test_any_table_and_any_linear(k, n, rows, bits, group, scheme, exponent):
    """Odd rows, groups that do not fill, scales beyond float16: the same numbers."""
    rng = np.random.default_rng(k * 1000 + n)
    tensors = {
        "table": np.ldexp(rng.normal(size=(n, k)), exponent).astype(np.float32),
        "w": np.ldexp(rng.normal(size=(n, k)), -exponent).astype(np.float32),
        "b": rng.normal(size=n).astype(np.float32),
    }
    weights = (
        Weight("table", (n, k), "embedding"), Weight("w", (n, k), "head"), Weight("b", (n,), "vector")
    )  # fmt: skip
    nodes = (
        Node("embedding", "rows", ("ids",), "rows", (rows, k), ("table",)),
        Node("linear", "out", ("rows",), "out", (rows, n), ("w", "b")),
    )
    program = single("one", "toy", weights, Graph((Input("ids", (1, rows), n),), nodes, ("rows", "out")))
    table, stored = packed(program, tensors, bits, group=group, scheme=scheme)
    inputs = {"ids": rng.integers(0, n, (1, rows)).astype(np.int32)}
    assert distance(program, table, stored, inputs) <= BOUND


def test_the_same_model_gives_the_same_bytes():
    made = []
    for _ in range(2):
        program, tensors = encoder()
        made.append(to_onnx(program, *packed(program, tensors, 4)))
    assert made[0] == made[1]


def operators(program, table, stored, form=None):
    model = onnx.load_from_string(to_onnx(program, table, stored, form))
    return [node.op_type for node in model.graph.node], model


def test_what_onnxruntime_joins_is_joined():
    program, tensors = encoder()
    ops, _ = operators(program, *packed(program, tensors, 16))
    assert ops.count("MultiHeadAttention") == 2
    assert ops.count("BiasGelu") == 2
    assert ops.count("SkipLayerNormalization") == 5
    assert "LayerNormalization" not in ops and "Gelu" not in ops
    ops, _ = operators(program, *packed(program, tensors, 4))
    assert ops.count("MatMulNBits") == 2 * 6 + 1
    assert ops.count("GatherBlockQuantized") == 3


def test_the_codes_are_the_bundles_own_bytes():
    program, tensors = encoder()
    table, stored = packed(program, tensors, 2, group=16, scheme="asymmetric")
    _, model = operators(program, table, stored)
    name = "encoder.layer.0.intermediate.dense.weight"
    found = {one.name: one for one in model.graph.initializer}
    assert found[f"{name}.codes"].raw_data == stored[f"{name}.codes"].astype("<u4").tobytes()
    (node,) = [one for one in model.graph.node if f"{name}.codes" in one.input]
    attrs = {one.name: one.i for one in node.attribute}
    assert attrs == {"K": 24, "N": 40, "bits": 2, "block_size": 16}


@pytest.mark.parametrize(("activations", "bits", "bound"), [("f32", 4, BOUND), ("f16", 16, 5e-3)])
def test_free_shapes_take_any_batch_and_length(activations, bits, bound):
    """The file for a library: ids are int64, positions are counted, outputs are float32."""
    for kind, positions in (("bert", "counted"), ("roberta", 1)):
        program, tensors = encoder(kind)
        table, stored = packed(program, tensors, bits)
        form = Form(activations, dynamic=True, ids="int64", positions=positions, float_outputs=True)
        opened = session(to_onnx(program, table, stored, form))
        assert "position_ids" not in [one.name for one in opened.get_inputs()]
        for batch, sequence in ((1, 3), (3, 9)):
            other, _ = encoder(kind, batch=batch, sequence=sequence)
            inputs = bert_inputs(other)
            first = 0 if kind == "bert" else 2
            inputs["input_ids"] = np.maximum(inputs["input_ids"], 2)  # no padding among the tokens
            inputs["position_ids"] = np.tile(np.arange(first, first + sequence, dtype=np.int32), (batch, 1))
            truth = reference(other, table, stored, inputs)
            wide = {one.name: inputs[one.name].astype(np.int64) for one in opened.get_inputs()}
            got = dict(zip(other.outputs, opened.run(list(other.outputs), wide), strict=True))
            assert got["last_hidden_state"].shape == (batch, sequence, 24)
            assert {value.dtype for value in got.values()} == {np.dtype(np.float32)}
            flat = {name: value.reshape(truth[name].shape) for name, value in got.items()}
            assert kernel_rel_l2([flat], [truth]) <= bound


def test_what_onnx_cannot_say_is_named():
    program, tensors = encoder()
    turned = Node("rotate", "turned", ("last_hidden_state",), "turned", (14, 24))
    graph = Graph(program.main.inputs, (*program.main.nodes[:-1], turned), ("turned",))
    strange = single(program.name, "toy", program.weights, graph)
    table, stored = packed(program, tensors, 16)
    with pytest.raises(NotInOnnx, match="turned: ONNX has no form for operator rotate"):
        to_onnx(strange, table, stored)
    huge = {**tensors, "pooler.dense.weight": tensors["pooler.dense.weight"] * np.float32(2.0**60)}
    table, stored = packed(program, huge, 4)
    with pytest.raises(NotInOnnx, match=r"pooler\.dense\.weight: its values times 2"):
        to_onnx(program, table, stored, Form(activations="f16"))
