"""The types of report rows are those of the view: no name that is no column, no blank that types deny."""

from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints

from records import fill

from bench.metrics import METRICS
from bench.report.board import Board, as_rows
from bench.report.row import Arm, Row
from bench.store import open_store
from bench.store.schema import SUMMARY

# Of every row that reports read, even of a cell that never ran.
ALWAYS = {"id", "campaign", "campaign_id", "cell_id", "block", "position", "attempt", "role", "outcome"}
ALWAYS |= {"browser", "model", "started_at"}


def kinds(hint):
    return set(get_args(hint)) if isinstance(hint, UnionType) else {hint}


def test_each_field_is_a_column_of_its_type():
    for name, hint in get_type_hints(Row).items():
        assert name in SUMMARY.c, f"{name} is no column of run_summary"
        assert kinds(hint) - {NoneType} == {SUMMARY.c[name].type.python_type}, name


def test_what_was_not_measured_may_be_blank():
    hints = get_type_hints(Row)
    blank = {metric.name for metric in METRICS} & hints.keys()
    blank |= {name for name in hints if name.startswith(("effective_", "error_"))}
    assert all(NoneType in kinds(hints[name]) for name in blank)
    never = {name for name, hint in hints.items() if NoneType not in kinds(hint)}
    assert never - ALWAYS == {name for name in hints if name.startswith("requested_")} - {
        "requested_weights",
        "requested_generate",
    }


def test_an_arm_has_the_fields_that_its_type_says(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        fill(store)
        board = Board.of(store.summary())
    assert board.arms and as_rows(board.runs)
    own = get_type_hints(Arm)
    for arm in board.arms:
        assert own.keys() <= arm.keys()
        for name in own.keys() - get_type_hints(Row).keys():
            wanted = [get_origin(kind) or kind for kind in kinds(own[name])]
            assert isinstance(arm[name], tuple(wanted)), name
