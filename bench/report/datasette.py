"""What Datasette is told about our database: titles, facets, units, and queries that are ready."""

from __future__ import annotations

from typing import Any

from bench.metrics import METRICS
from bench.plan.request import SORTED

FACETS = (
    *("requested_model", "browser", "requested_platform", "requested_bits"),
    *("outcome", "campaign", "effective_device"),
)

# Whatever an arm is asked for by, so that no mean is over two of them.
_FIELDS = [field for field in SORTED if field.shown.phrase]
_ASKED = ", ".join(
    "browser" if field.name == "browser" else f"{field.column} as {field.title.replace(' ', '_')}"
    for field in _FIELDS
)
_PLACES = ", ".join(str(place + 1) for place in range(len(_FIELDS) + 2))  # those, weights and device

# name -> title, what it shows, SQL. Every number has what it is a number of beside it.
QUERIES: dict[str, tuple[str, str, str]] = {
    "latency_by_bits": (
        "Latency by bits",
        "Sessions that ran as requested (ok), least and mean of their medians, beside how many were asked. "
        "What reached no device has lines of its own.",
        f"""
select {_ASKED}, model_weights as weights,
  case requested_platform when 'webgpu' then adapter else effective_device end as ran_on,
  sum(outcome = 'ok') as ok, count(*) as runs,
  round(min(case when outcome = 'ok' then latency_ms_median end), 3) as least_ms,
  round(avg(case when outcome = 'ok' then latency_ms_median end), 3) as mean_ms,
  round(avg(case when outcome = 'ok' then decode_tokens_per_s end), 2) as mean_tokens_per_s,
  round(avg(case when outcome = 'ok' then cosine_fp32 end), 5) as mean_cosine
from run_summary where role = 'arm'
group by {_PLACES} order by {_PLACES}
""",  # noqa: S608 - of names of columns alone
    ),
    "what_runs_where": (
        "What runs where",
        "Outcomes of every run by browser build, platform and bits.",
        """
select browser, browser_version, requested_platform as platform, requested_bits as bits,
  outcome, count(*) as runs, max(started_at) as last_seen
from run_summary group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4 desc, 5
""",
    ),
    "fallbacks": (
        "Fallbacks",
        "What was asked, what ran instead, and why.",
        """
select browser, requested_platform as platform, requested_bits as asked_bits, effective_bits as ran_bits,
  requested_device as asked_device, effective_device as ran_device, fallback_reason, count(*) as runs
from run_summary where outcome = 'fallback' group by 1, 2, 3, 4, 5, 6, 7 order by runs desc
""",
    ),
    "failures": (
        "Failures",
        "By stage and message, in the browsers' own words.",
        """
select outcome, error_stage as stage, error_category as category, error_name as name,
  error_message as message, group_concat(distinct browser) as browsers, count(*) as runs,
  max(started_at) as last_seen, max(id) as newest_run
from run_summary where outcome not in ('ok', 'fallback')
group by 1, 2, 3, 4, 5 order by runs desc, last_seen desc
""",
    ),
    "campaigns": (
        "Campaigns",
        "Cells planned, runs, and runs with a right result.",
        """
select campaigns.id, campaigns.name, campaigns.state, campaigns.created_at,
  count(distinct cells.id) as cells, count(runs.id) as runs,
  sum(runs.outcome in ('ok', 'fallback')) as right_results
from campaigns join cells on cells.campaign_id = campaigns.id left join runs on runs.cell_id = cells.id
group by campaigns.id order by campaigns.id desc
""",
    ),
    "samples_of_a_run": (
        "Samples of a run",
        "Every raw sample in the order it was taken; warm-up too.",
        "select position, phase, kind, batch, value_ms from samples where run_id = :run order by position",
    ),
}


def metadata(database: str) -> dict[str, Any]:
    """Datasette's metadata for one database.

    Args:
        database: the name that Datasette gives it: the file's, without its suffix.
    """
    meanings = {metric.name: f"{metric.meaning} {metric.unit}".strip() for metric in METRICS}
    return {
        "title": "webquant-bench",
        "description": "Quantized models measured in real browsers. A row a run, failed ones too; what was "
        "not measured is blank.",
        "databases": {
            database: {
                "tables": {
                    "run_summary": {
                        "description": "One row a run: what was requested, what really ran, what it came to.",
                        "facets": list(FACETS),
                        "columns": meanings,
                    }
                },
                "queries": {
                    name: {"title": title, "description": says, "sql": sql.strip()}
                    for name, (title, says, sql) in QUERIES.items()
                },
            }
        },
    }
