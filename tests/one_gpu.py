"""Made-up rows of two browsers on one host with one GPU. No number here was measured."""

from __future__ import annotations

from records import environment, record, request

from bench.record import Effective

H100 = "NVIDIA H100 80GB HBM3"


def effective(asked, kernels="a" * 16, **changes):
    return Effective(
        platform=asked.platform, bits=asked.bits, bits_mean=float(asked.bits), device="gpu", engine="native",
        engine_version="0.1.0", kernels=kernels, activations="f32", wait="eager", **changes,
    )  # fmt: skip


def two_browsers(store, *, gpus=H100, fallback=False, ticks=400.0, activations=("f32", "f32")):
    """Ten blocks of Chromium and Firefox: one names its adapter and has the finer clock."""
    adapters = {
        "chrome": {"name": H100, "is_fallback_adapter": fallback, "features": ["shader-f16", "subgroups"],
                   "limits": {"maxBufferSize": 4_000_000_000}},
        "firefox": {"name": "adapter that firefox does not name", "is_fallback_adapter": fallback,
                    "features": ["shader-f16"], "limits": {"maxBufferSize": 1_000_000_000}},
    }  # fmt: skip
    steps, kinds = (
        {"chrome": 5.0, "firefox": 20.0},
        dict(zip(("chrome", "firefox"), activations, strict=True)),
    )
    asked = [request(browser=name, bits=16) for name in adapters]
    planned = store.create_campaign("two", [asked[(b + i) % 2] for b in range(10) for i in range(2)], seed=1,
                                    settings={}, blocks=[b for b in range(10) for _ in range(2)])  # fmt: skip
    for cell in planned.cells:
        name = cell.request.browser
        found = record(
            cell.request,
            median=20.0 + cell.block / 100,
            effective=effective(cell.request).model_copy(update={"activations": kinds[name]}),
            environment=environment(
                name, adapter=adapters[name], timer_resolution_us=steps[name], host_gpus=gpus
            ),
        )
        found.metrics.sample_ticks = ticks
        store.record(cell.id, found)
