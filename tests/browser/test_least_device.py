"""A device asked for with no more than every device has: 16 KiB of workgroup memory, 256 threads, 8 buffers.

What a phone may be, in a real browser: every form that a GPU gets must fit and be right there.
"""

import pytest

from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.session import RunSettings
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.settings import load_settings

from .conftest import require

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds
FORMS = {
    "of a processor": {},
    # What a GPU without subgroups takes of its own accord.
    "of a GPU": {
        "NORM": 1, "FIXED": 1, "STAGED": 1, "AHEAD": 1, "LOADS": 8, "EACH": 1, "NORM_THREADS": 64, "TEAM": 32,
        "THREADS": 256, "ROWS": 2, "UNIFORM": 0,
    },
    "of a GPU, f32 tiles": {
        "FIXED": 0, "STAGED": 1, "BM": 64, "BN": 64, "BK": 32, "TM": 4, "TN": 4, "UNIFORM": 0,
    },
}  # fmt: skip


@pytest.mark.parametrize("browser", ["chrome", "firefox"])
@pytest.mark.parametrize(
    "form", ["of a processor", "of a GPU", pytest.param("of a GPU, f32 tiles", marks=LONG)]
)
@pytest.mark.parametrize(
    ("model", "bits", "scheme"),
    [
        ("llama-tiny", 4, "asymmetric"),
        ("bert-tiny", 16, "symmetric"),
        pytest.param("llama-tiny", 2, "symmetric", marks=LONG),
        pytest.param("bert-tiny", 8, "asymmetric", marks=LONG),
    ],
)
def test_whole_models_are_right_there(browser, form, model, bits, scheme):
    require(browser)
    shape = {"generate": 6} if model == "llama-tiny" else {}
    request = Request(
        platform="webgpu", browser=browser, model=model, bits=bits, scheme=scheme, sequence_length=40, **shape
    )
    with PageServer() as server:
        settings = RunSettings(iterations=2, tuning=FORMS[form], least_limits=True)
        record = execute(
            request, resolve(model), server, load_settings(), settings, lambda words: None
        ).record
    assert record.outcome is Outcome.OK, record.error
    assert record.evidence["notes"]["limits"] == {
        "maxComputeInvocationsPerWorkgroup": 256,
        "maxComputeWorkgroupStorageSize": 16384,
        "maxStorageBufferBindingSize": 134217728,
        "maxStorageBuffersPerShaderStage": 8,
    }
