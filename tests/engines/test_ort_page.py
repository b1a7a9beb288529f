"""What the page reads off an ONNX file and out of onnxruntime's log, under Node."""

import json
import subprocess
from pathlib import Path

import onnx
import pytest
import tiny_model
from bundled import bundled
from tiny_model import MEAN

from bench.engines.ort_web import OrtWeb
from bench.models.catalog import resolve
from bench.plan.request import Request

PAGES = Path(__file__).resolve().parents[2] / "bench" / "pages"
LOG = """
[V:onnxruntime:, session_state.cc:1377 VerifyEachNodeIsAssignedToAnEp] Node placements
[V:onnxruntime:, session_state.cc:1383 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on \
[WebNNExecutionProvider]. Number of nodes: 2
[V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp]   WEBNN_46_3 (W_0)
[V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp]   MemcpyToHost (Memcpy)
[V:onnxruntime:, session_state.cc:1383 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on \
[CPUExecutionProvider]. Number of nodes: 2
[V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp]   BiasGelu (layer.0.x)
[V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp]   BiasGelu (layer.1.x)
[V:onnxruntime:, session_state.cc:186 CreateGraphInfo] SaveMLValueNameIndexMapping (x)
"""
WHOLE = "[V:onnxruntime:, a.cc:1 V]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 35"


def node(program, *arguments):
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("log", "asked", "elsewhere"),
    [
        (LOG, "WebNNExecutionProvider", {"BiasGelu (CPUExecutionProvider)": 2}),
        (WHOLE, "CPUExecutionProvider", {}),
        (WHOLE, "WebGpuExecutionProvider", {"all operators (CPUExecutionProvider)": 35}),
        ("", "WebGpuExecutionProvider", {}),
    ],
)
def test_placements(log, asked, elsewhere):
    program = f"""
      import {{ elsewhere, placements }} from "{PAGES}/ort/placement.js";
      const placed = placements(process.argv[1].split("\\n"));
      const nodes = Object.fromEntries([...placed].map(([name, found]) => [name, found.nodes]));
      console.log(JSON.stringify([nodes, elsewhere(placed, process.argv[2])]));
    """
    nodes, found = node(program, log, asked)
    assert found == elsewhere
    assert sum(nodes.values()) == {LOG: 4, WHOLE: 35, "": 0}[log]


@pytest.mark.parametrize(("lanes", "kept"), [(4, True), (8, False), (32, False), (None, False)])
def test_small_subgroups_are_withheld(lanes, kept):
    program = f"""
      import {{ withheld }} from "{PAGES}/ort/device.js";
      const subgroupMaxSize = JSON.parse(process.argv[1]);
      const features = new Set(subgroupMaxSize ? ["subgroups"] : []);
      console.log(JSON.stringify(withheld({{ info: {{ subgroupMaxSize }}, features }})));
    """
    words = node(program, json.dumps(lanes))
    assert (words is not None) == kept
    assert not kept or "4 lanes" in words


@pytest.mark.parametrize("activations", ["f32", "f16"])
@pytest.mark.parametrize(
    ("bits", "scheme"), [(16, "symmetric"), (8, "asymmetric"), (4, "symmetric"), (2, "asymmetric")]
)
def test_the_page_reads_the_file_as_the_onnx_package_does(tmp_path, bits, scheme, activations):
    source = resolve("tiny", tiny_model.write(tmp_path / "model", pooling=MEAN))
    bundle = bundled(
        source, bits=bits, scheme=scheme, group_size=16, batch=1, sequence=7, cache=tmp_path / "cache"
    )
    request = Request(platform="webgpu", browser="chrome", model="tiny", bits=bits, engine="ort-web")
    path = OrtWeb().files(request, bundle)[f"model.{activations}.onnx"]
    program = f"""
      import {{ readFileSync }} from "node:fs";
      import {{ formatsOf, readModel, weightBytes }} from "{PAGES}/ort/onnx.js";
      const model = readModel(new Uint8Array(readFileSync(process.argv[1])));
      console.log(JSON.stringify({{
        ops: model.nodes.map((node) => node.op),
        tensors: [...model.tensors.values()].map((one) => Object.values(one)),
        formats: Object.fromEntries(formatsOf(model)),
        bytes: weightBytes(model),
      }}));
    """
    said = node(program, str(path))
    truth = onnx.load(path).graph
    assert said["ops"] == [one.op_type for one in truth.node]
    assert said["tensors"] == [
        [one.name, one.data_type, list(one.dims), len(one.raw_data)] for one in truth.initializer
    ]
    parameters = {
        weight.name: weight.parameters for weight in bundle.program.weights if weight.role != "vector"
    }
    assert {name: one["parameters"] for name, one in said["formats"].items()} == parameters
    least = min(one["bits"] for one in said["formats"].values())
    assert least == bits
    packed = {(one["group_size"], one["scheme"]) for one in said["formats"].values() if one["bits"] < 16}
    assert packed == (set() if bits == 16 else {(16, scheme)})
    file = sum(len(one.raw_data) for one in truth.initializer)
    assert said["bytes"] > file if bits == 16 else said["bytes"] == file
