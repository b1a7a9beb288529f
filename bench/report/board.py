"""What a report is drawn from: runs, the last attempt at each cell, and the arms that they make up.

Rows stay in pandas columns until they are grouped: a database has 100,000 runs, and some hundred arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.harness.outcome import Outcome
from bench.plan.request import ASKED
from bench.report import words
from bench.report.alike import CODE, code
from bench.report.row import Arm, Row, rows_of, value_at
from bench.stats.summary import median_interval
from bench.store.store import Store

NOT_RUN = "not run"
BITS = (16, 8, 4, 2)

# Where and how a run ran; two runs that differ in one of these are not averaged.
_RAN = (
    *("effective_platform", "effective_bits", "effective_bits_mean", "effective_device"),
    *("effective_engine", "effective_engine_version", "effective_kernels", "effective_features"),
    *("effective_activations", "effective_group_size", "effective_scheme"),
    *("browser", "browser_version", "adapter", "adapter_is_fallback", "os", "cpu", "host_gpus"),
    *("model", "model_family", "model_weights", "model_sha256"),
)
# What ran an arm, where its rows do not say by which kernels: the harness with its commit.
KERNELS = "kernels"
_SPREAD = ("median", "ci95_low", "ci95_high", "n")
_OF_TOKENS = (*(f"decode_ms_{part}" for part in _SPREAD), "decode_tokens_per_s", "prefill_tokens_per_s")
_TIMES = (*(f"latency_ms_{part}" for part in _SPREAD), *_OF_TOKENS)
_NUMBERS = (
    *_TIMES,
    *("renderer_memory_mb", "gpu_process_memory_mb", "greedy_agreement"),
    *("weight_bytes", "weight_bytes_fp16", "memory_reduction"),
    *("kernel_rel_l2", "cosine_fp32", "rel_l2_fp32", "gpu_ms"),
)
COLUMNS = (
    *(
        "id",
        "campaign",
        "campaign_id",
        "cell_id",
        "block",
        "position",
        "attempt",
        "role",
        "outcome",
        "fallback_reason",
    ),
    *ASKED,
    *_RAN,
    *("browser_binary", "driver_version", "cross_origin_isolated", "timer_resolution_us"),
    *("timer_ms", "sample_ticks", "effective_wait", "effective_completion_ms"),
    "harness_version",
    *_NUMBERS,
    *("error_stage", "error_category", "error_name", "error_message", "error_operator"),
    *("started_at", "finished_at"),
)


@dataclass(frozen=True)
class Board:
    """Everything that tables and charts need.

    Attributes:
        runs: every attempt, by id; without the hidden A/A twins, which are no arms.
        cells: a row a cell: its last attempt, or a blank one with the outcome `not run`.
        arms: a row for cells that asked for the same, ran in the same place by the same kernels, and came to
            the same outcome. It reads like a row of `run_summary`, and has besides `runs` (their ids),
            `sessions` (how many), `kernels`, and `timed`: sessions whose samples sit on a browser's timer,
            without a latency here. Over several sessions latency and time of a token are the median of
            theirs, with the 95 % interval of that median, or from the smallest to the largest where there
            are fewer than six.
    """

    runs: pd.DataFrame
    cells: pd.DataFrame
    arms: list[Arm]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Board:
        """From rows of `Store.table` with at least `COLUMNS`, or of `Store.summary`."""
        frame = _with_kernels(frame[frame["role"] != "twin"])
        runs = frame[frame["id"].notna()].sort_values("id")
        last = runs.sort_values(["cell_id", "attempt"]).drop_duplicates("cell_id", keep="last")
        blank = frame[frame["id"].isna()].sort_values("cell_id").assign(outcome=NOT_RUN)
        cells = pd.concat([last.sort_values("id"), blank]) if len(blank) else last.sort_values("id")
        cells = cells.reset_index(drop=True)
        return cls(runs.reset_index(drop=True), cells, _arms(cells))

    @classmethod
    def load(
        cls,
        store: Store,
        where: str | None = None,
        *,
        campaign: int | str | None = None,
        since: str | None = None,
        more: Sequence[str] = (),
    ) -> Board:
        """From a database, as far as a filter, a campaign or a time goes; with `more` columns of its runs.

        Raises:
            InputError: a filter, campaign or time that cannot be.
        """
        columns = tuple(dict.fromkeys((*COLUMNS, *more)))
        return cls.of(store.table(columns, where, campaign=campaign, since=since))

    @property
    def ran(self) -> list[Arm]:
        """The arms that have a run, whatever came of it."""
        return [arm for arm in self.arms if arm["outcome"] != NOT_RUN]


def measured(arm: Arm) -> bool:
    """Whether an arm ran right, as requested or fallen back, and has a speed."""
    return right(arm) and arm["latency_ms_median"] is not None and arm["effective_bits"] in BITS


def right(arm: Arm) -> bool:
    """Whether an arm ran with a right result, as requested or fallen back."""
    return arm["outcome"] != NOT_RUN and Outcome(arm["outcome"]).measured


def as_rows(frame: pd.DataFrame) -> list[Row]:
    """A frame as rows, with None for whatever is missing."""
    return rows_of(_plain(frame))


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict(orient="records")]


def _with_kernels(frame: pd.DataFrame) -> pd.DataFrame:
    """With what ran each row (`bench.report.alike.code`), and no latency where it is a browser's timer."""
    said = frame[list(CODE)].astype(object)
    keys = list(said.where(said.notna(), None).itertuples(index=False, name=None))
    known = {key: code(*rows_of([dict(zip(CODE, key, strict=True))])) for key in set(keys)}
    frame = frame.assign(**{KERNELS: pd.Series([known[key] for key in keys], frame.index, dtype=object)})
    timed = frame["timer_ms"].notna()
    frame.loc[timed, [name for name in _TIMES if name in frame]] = float("nan")
    return frame


def _arms(cells: pd.DataFrame) -> list[Arm]:
    keys = [*ASKED, *_RAN, KERNELS, "outcome"]
    if not len(cells):
        return []
    grouped = cells.groupby(keys, dropna=False, sort=False)
    number = grouped.ngroup()
    # Ordered by the arm's first run, so that the same database gives the same order.
    first = _plain(cells.loc[~number.duplicated()])
    members = list(number.groupby(number, sort=True).indices.items())
    columns = {name: cells[name].to_numpy(dtype=float, na_value=np.nan) for name in _NUMBERS}
    timed = cells["timer_ms"].notna().to_numpy()
    ids = cells["id"].to_numpy(dtype=object)
    cell_ids = cells["cell_id"].to_numpy(dtype=object)
    campaigns = cells["campaign"].to_numpy(dtype=object)
    for row, (_, places) in zip(first, members, strict=True):
        row["runs"] = [int(one) for one in ids[places] if one is not pd.NA and one is not None]
        row["cells"] = [int(one) for one in cell_ids[places]]
        row["campaigns"] = words.distinct(campaigns[places])
        row["sessions"] = len(places)
        row["timed"] = int(timed[places].sum())
        _summarize(row, {name: values[places] for name, values in columns.items()})
    return cast(list[Arm], first)


def _summarize(row: dict[str, Any], values: dict[str, Any]) -> None:
    """Fill the numbers of an arm with what its sessions have in the middle, and how far they spread."""
    n = _known(values["latency_ms_n"])
    row["n_low"], row["n_high"] = (int(min(n)), int(max(n))) if n else (None, None)
    for name in ("cosine_fp32", "rel_l2_fp32"):
        known = _known(values[name])
        row[f"{name}_low"], row[f"{name}_high"] = (min(known), max(known)) if known else (None, None)
    if row["sessions"] == 1:
        return
    for name in _NUMBERS:
        known = _known(values[name])
        row[name] = float(np.median(known)) if known else None
    kernel = _known(values["kernel_rel_l2"])
    row["kernel_rel_l2"] = max(kernel) if kernel else None
    for of in ("latency_ms", "decode_ms"):
        medians, counted = _known(values[f"{of}_median"]), _known(values[f"{of}_n"])
        span = median_interval(medians) or ((min(medians), max(medians)) if medians else (None, None))
        row[f"{of}_ci95_low"], row[f"{of}_ci95_high"] = span
        row[f"{of}_n"] = int(sum(counted)) if counted else None
    for rate, of, count in (
        ("decode_tokens_per_s", "decode_ms_median", 1),
        ("prefill_tokens_per_s", "latency_ms_median", row["requested_sequence_length"]),
    ):  # of the middle, so that the rate and the time beside it are of one session's
        if row[rate] is not None and row[of]:
            row[rate] = 1000 * row["requested_batch_size"] * count / row[of]
    for name in ("weight_bytes", "weight_bytes_fp16"):
        row[name] = None if value_at(row, name) is None else int(value_at(row, name))


def _known(values: Any) -> list[float]:
    return [float(one) for one in values if not np.isnan(one)]


def coverage(arms: Sequence[Arm]) -> tuple[int, int]:
    """Cells that ran with a right result, and cells asked for."""
    return sum(arm["sessions"] for arm in arms if right(arm)), sum(arm["sessions"] for arm in arms)
