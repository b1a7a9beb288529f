"""What a contributor writes into files that are there: file, text that stands there, text in its place."""

FAMILY = [
    (
        "bench/models/families.py",
        "import bert, bert_config, llama, speech, text, tokenize, whisper",
        "import bert, bert_config, llama, speech, text, tokenize, toy, whisper",
    ),
    (
        "bench/models/families.py",
        "FAMILIES = {",
        """_TOY = Family(toy.check, toy.build, toy.layout, toy.calls, (), toy.made_up, "toy")
FAMILIES = {"toy": _TOY, """,
    ),
]
OPERATOR = [
    ("bench/models/graph.py", '    "unfold",\n', '    "unfold",\n    "accumulate",\n'),
    (
        "bench/reference/execute.py",
        '    "unfold": _unfold,\n',
        '    "unfold": _unfold,\n    "accumulate": _accumulate,\n',
    ),
    (
        "bench/reference/execute.py",
        "_ACTIVATIONS: dict",
        """def _accumulate(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    rows, total, seen = x
    total += rows.sum(axis=0, keepdims=True)
    seen += len(rows)
    mean: F32 = total / np.float32(seen[0])
    return mean


_ACTIVATIONS: dict""",
    ),
    (
        "bench/pages/webgpu/operators.js",
        '  softmax: (planner, node) => planner.simple(node, "softmax"),\n',
        """  softmax: (planner, node) => planner.simple(node, "softmax"),
  accumulate: (planner, node) => {
    const [x, total, seen] = node.inputs;
    const [, H] = node.shape;
    const ROWS = Number(planner.graph.inputs[0].shape[1]);
    const bindings = [x, total, seen, node.output].map((value, slot) => [slot, { value }]);
    const variant = { shader: "accumulate", values: {}, constants: { ROWS, H } };
    const work = { flops: ROWS * H, bytes: 4 * ROWS * H };
    const dispatch = { name: node.name, variant, groups: [1, 1, 1], bindings, ...work };
    planner.push(/** @type {import("./kernels.js").Dispatch} */ (dispatch), node.output, H);
  },
""",
    ),
    (
        "bench/pages/webnn/operators.js",
        "  softmax({ b, w, get, node }) {",
        """  accumulate({ b, get, set, node }) {
    const [x, total, seen] = node.inputs;
    const rows = get(x).shape[0];
    const sum = b.add(get(total), b.reduceSum(get(x), { axes: [0], keepDimensions: true }));
    const count = b.add(get(seen), b.constant({ dataType: "int32", shape: [1] }, new Int32Array([rows])));
    set(total, sum);
    set(seen, count);
    return b.div(sum, b.cast(count, "float32"));
  },

  softmax({ b, w, get, node }) {""",
    ),
]
FORMAT = [
    (
        "bench/plan/request.py",
        'Scheme = Literal["symmetric", "asymmetric"]',
        'Scheme = Literal["symmetric", "asymmetric", "complement"]',
    ),
    (
        "bench/quantize/recipe.py",
        'Zero = Literal["middle", "integer"]',
        'Zero = Literal["middle", "integer", "complement"]',
    ),
    (
        "bench/quantize/recipe.py",
        '"asymmetric": "integer"}',
        '"asymmetric": "integer", "complement": "complement"}',
    ),
    (
        "bench/quantize/formats.py",
        "STORAGES: Mapping",
        '''def _store_complement(values: F32, how: Format, method: str) -> tuple[Parts, int]:
    """A toy: symmetric codes, every bit of them turned over."""
    parts, exponent = _store_groups(values, Format(how.bits, how.group_size, "middle"), method)
    return {**parts, "codes": ~parts["codes"]}, exponent


def _restore_complement(parts: Parts, how: Format, k: int, exponent: int) -> F32:
    plain = Format(how.bits, how.group_size, "middle")
    return _restore_groups({**parts, "codes": ~parts["codes"]}, plain, k, exponent)


STORAGES: Mapping''',
    ),
    (
        "bench/quantize/formats.py",
        '    "integer": _GROUPS,\n',
        '    "integer": _GROUPS,\n    "complement": Storage(_store_complement, _restore_complement),\n',
    ),
    (
        "bench/pages/webgpu/kernels.js",
        "asymmetric: { ASYMMETRIC: 1 } }",
        "asymmetric: { ASYMMETRIC: 1 }, complement: { COMPLEMENT: 1, ASYMMETRIC: 0 } }",
    ),
    (
        "bench/shaders/weights.inc.wgsl",
        "fn codes4(word: u32, part: u32) -> vec4<f32> {",
        """fn codes4(packed: u32, part: u32) -> vec4<f32> {
//#if COMPLEMENT
  let word = ~packed;
//#else
  let word = packed;
//#endif""",
    ),
]
ENGINE = [
    (
        "bench/plan/request.py",
        'Engine = Literal["native", "ort-web"]',
        'Engine = Literal["native", "ort-web", "toy"]',
    ),
    ("bench/plan/request.py", '"ort-web": PLATFORMS}', '"ort-web": PLATFORMS, "toy": ("webgpu",)}'),
    (
        "bench/engines/__init__.py",
        "from bench.engines.ort_web import OrtWeb\n",
        "from bench.engines.ort_web import OrtWeb\nfrom bench.engines.toy import Toy\n",
    ),
    ("bench/engines/__init__.py", '"ort-web": OrtWeb()}', '"ort-web": OrtWeb(), "toy": Toy()}'),
    (
        "bench/pages/engines.js",
        "import { WebGpuBackend }",
        'import { ToyBackend } from "./toy/backend.js";\nimport { WebGpuBackend }',
    ),
    (
        "bench/pages/engines.js",
        '  "ort-web": async',
        '  toy: async ({ program, tensors }) => new ToyBackend(program, tensors),\n  "ort-web": async',
    ),
]
FIELD = [
    (
        "bench/plan/request.py",
        "    scheme: Annotated[",
        """    flavour: Annotated[
        Literal["plain", "sweet"], Flag("Taste: {values}", several=True), Shown("taste", "{} taste")
    ] = Field(default="plain", description="How it tastes")
    scheme: Annotated[""",
    ),
    ("bench/store/schema.py", 'REVISION = "0009"', 'REVISION = "9999"'),
]
KINDS = {
    "family": FAMILY,
    "operator": OPERATOR,
    "format": FORMAT,
    "engine": ENGINE,
    "field of the request": FIELD,
}
ADDED = {
    "family": ["bench/models/toy.py"],
    "operator": ["bench/shaders/accumulate.wgsl"],
    "format": [],
    "engine": ["bench/engines/toy.py", "bench/pages/toy/backend.js"],
    "field of the request": ["migrations/versions/9999_flavour.py"],
}
