"""The first schema: campaigns, cells, runs, samples, environments, models, and the view run_summary.

Every column stands here literally: a migration is history and does not change when the registry does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW run_summary AS
SELECT
    r.id AS id, r.uuid AS uuid, p.name AS campaign, c.campaign_id AS campaign_id, r.cell_id AS cell_id,
    c.block AS block, c.position AS position, r.attempt AS attempt, r.outcome AS outcome,
    r.fallback_reason AS fallback_reason,
    c.requested_platform AS requested_platform, c.requested_browser AS requested_browser,
    c.requested_model AS requested_model, c.requested_bits AS requested_bits,
    c.requested_mixed_precision AS requested_mixed_precision,
    c.requested_experimental_precision AS requested_experimental_precision,
    c.requested_batch_size AS requested_batch_size,
    c.requested_sequence_length AS requested_sequence_length,
    c.requested_engine AS requested_engine, c.requested_device AS requested_device,
    c.requested_group_size AS requested_group_size, c.requested_scheme AS requested_scheme,
    c.requested_weights AS requested_weights,
    r.effective_platform AS effective_platform, r.effective_bits AS effective_bits,
    r.effective_bits_mean AS effective_bits_mean, r.effective_device AS effective_device,
    r.effective_engine AS effective_engine, r.effective_activations AS effective_activations,
    r.effective_group_size AS effective_group_size, r.effective_scheme AS effective_scheme,
    r.effective_weight_path AS effective_weight_path,
    e.browser AS browser, e.browser_version AS browser_version, e.browser_binary AS browser_binary,
    e.driver_version AS driver_version, e.user_agent AS user_agent,
    e.adapter_name AS adapter, e.adapter_is_fallback AS adapter_is_fallback,
    e.os AS os, e.cpu AS cpu, e.cross_origin_isolated AS cross_origin_isolated,
    e.timer_resolution_us AS timer_resolution_us, e.harness_version AS harness_version,
    m.name AS model, m.family AS model_family, m.parameters AS model_parameters,
    m.weights AS model_weights, m.sha256 AS model_sha256,
    r.latency_ms_median AS latency_ms_median, r.latency_ms_mean AS latency_ms_mean,
    r.latency_ms_p50 AS latency_ms_p50, r.latency_ms_p90 AS latency_ms_p90,
    r.latency_ms_p99 AS latency_ms_p99, r.latency_ms_std AS latency_ms_std,
    r.latency_ms_ci95_low AS latency_ms_ci95_low, r.latency_ms_ci95_high AS latency_ms_ci95_high,
    r.latency_ms_n AS latency_ms_n, r.throughput_per_s AS throughput_per_s,
    r.first_inference_ms AS first_inference_ms, r.load_ms AS load_ms, r.build_ms AS build_ms,
    r.compile_ms AS compile_ms, r.gpu_ms AS gpu_ms, r.weight_bytes AS weight_bytes,
    r.weight_bytes_fp16 AS weight_bytes_fp16, r.memory_reduction AS memory_reduction,
    r.kernel_rel_l2 AS kernel_rel_l2, r.cosine_fp32 AS cosine_fp32, r.rel_l2_fp32 AS rel_l2_fp32,
    r.max_abs_fp32 AS max_abs_fp32, r.top1_agreement AS top1_agreement,
    r.error_stage AS error_stage, r.error_category AS error_category, r.error_name AS error_name,
    r.error_message AS error_message, r.error_operator AS error_operator,
    r.started_at AS started_at, r.finished_at AS finished_at
FROM runs r
JOIN cells c ON c.id = r.cell_id
JOIN campaigns p ON p.id = c.campaign_id
JOIN environments e ON e.id = r.environment_id
JOIN models m ON m.id = r.model_id
"""


def upgrade() -> None:
    _create_plan()
    _create_context()
    _create_runs()
    op.create_table(
        "samples",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("value_ms", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_samples_run_id"),
        sa.PrimaryKeyConstraint("run_id", "phase", "position", name="pk_samples"),
        sqlite_with_rowid=False,
    )
    op.execute(VIEW)


def _create_plan() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        sa.UniqueConstraint("uuid", name="uq_campaigns_uuid"),
        sa.UniqueConstraint("name", name="uq_campaigns_name"),
    )
    op.create_table(
        "cells",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("requested_platform", sa.Text(), nullable=False),
        sa.Column("requested_browser", sa.Text(), nullable=False),
        sa.Column("requested_model", sa.Text(), nullable=False),
        sa.Column("requested_bits", sa.Integer(), nullable=False),
        sa.Column("requested_mixed_precision", sa.Boolean(), nullable=False),
        sa.Column("requested_experimental_precision", sa.Boolean(), nullable=False),
        sa.Column("requested_batch_size", sa.Integer(), nullable=False),
        sa.Column("requested_sequence_length", sa.Integer(), nullable=False),
        sa.Column("requested_engine", sa.Text(), nullable=False),
        sa.Column("requested_device", sa.Text(), nullable=False),
        sa.Column("requested_group_size", sa.Integer(), nullable=False),
        sa.Column("requested_scheme", sa.Text(), nullable=False),
        sa.Column("requested_weights", sa.Text(), nullable=True),
        sa.Column("arm", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name="fk_cells_campaign_id"),
        sa.PrimaryKeyConstraint("id", name="pk_cells"),
        sa.UniqueConstraint("campaign_id", "position", name="uq_cells_campaign_id_position"),
    )


def _create_context() -> None:
    op.create_table(
        "environments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.Column("browser_version", sa.Text(), nullable=True),
        sa.Column("browser_binary", sa.Text(), nullable=True),
        sa.Column("driver_version", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("adapter_name", sa.Text(), nullable=True),
        sa.Column("adapter_is_fallback", sa.Boolean(), nullable=True),
        sa.Column("os", sa.Text(), nullable=True),
        sa.Column("cpu", sa.Text(), nullable=True),
        sa.Column("cross_origin_isolated", sa.Boolean(), nullable=True),
        sa.Column("timer_resolution_us", sa.Double(), nullable=True),
        sa.Column("harness_version", sa.Text(), nullable=True),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
        sa.UniqueConstraint("hash", name="uq_environments_hash"),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=True),
        sa.Column("parameters", sa.BigInteger(), nullable=True),
        sa.Column("weights", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("hash", name="uq_models_hash"),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("cell_id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("fallback_reason", sa.Text(), nullable=True),
        sa.Column("effective_platform", sa.Text(), nullable=True),
        sa.Column("effective_bits", sa.Integer(), nullable=True),
        sa.Column("effective_bits_mean", sa.Double(), nullable=True),
        sa.Column("effective_device", sa.Text(), nullable=True),
        sa.Column("effective_engine", sa.Text(), nullable=True),
        sa.Column("effective_activations", sa.Text(), nullable=True),
        sa.Column("effective_group_size", sa.Integer(), nullable=True),
        sa.Column("effective_scheme", sa.Text(), nullable=True),
        sa.Column("effective_weight_path", sa.Text(), nullable=True),
        sa.Column("error_stage", sa.Text(), nullable=True),
        sa.Column("error_category", sa.Text(), nullable=True),
        sa.Column("error_name", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_operator", sa.Text(), nullable=True),
        sa.Column("phases", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text(), nullable=False),
        sa.Column("latency_ms_median", sa.Double(), nullable=True),
        sa.Column("latency_ms_mean", sa.Double(), nullable=True),
        sa.Column("latency_ms_p50", sa.Double(), nullable=True),
        sa.Column("latency_ms_p90", sa.Double(), nullable=True),
        sa.Column("latency_ms_p99", sa.Double(), nullable=True),
        sa.Column("latency_ms_std", sa.Double(), nullable=True),
        sa.Column("latency_ms_ci95_low", sa.Double(), nullable=True),
        sa.Column("latency_ms_ci95_high", sa.Double(), nullable=True),
        sa.Column("latency_ms_n", sa.BigInteger(), nullable=True),
        sa.Column("throughput_per_s", sa.Double(), nullable=True),
        sa.Column("first_inference_ms", sa.Double(), nullable=True),
        sa.Column("load_ms", sa.Double(), nullable=True),
        sa.Column("build_ms", sa.Double(), nullable=True),
        sa.Column("compile_ms", sa.Double(), nullable=True),
        sa.Column("gpu_ms", sa.Double(), nullable=True),
        sa.Column("weight_bytes", sa.BigInteger(), nullable=True),
        sa.Column("weight_bytes_fp16", sa.BigInteger(), nullable=True),
        sa.Column("memory_reduction", sa.Double(), nullable=True),
        sa.Column("kernel_rel_l2", sa.Double(), nullable=True),
        sa.Column("cosine_fp32", sa.Double(), nullable=True),
        sa.Column("rel_l2_fp32", sa.Double(), nullable=True),
        sa.Column("max_abs_fp32", sa.Double(), nullable=True),
        sa.Column("top1_agreement", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('ok', 'fallback', 'unsupported', 'unavailable', 'error', 'incorrect', 'timeout', "
            "'device_lost', 'crashed', 'interrupted')",
            name=op.f("ck_runs_outcome"),
        ),
        sa.CheckConstraint(
            "outcome IN ('ok', 'fallback') OR latency_ms_median IS NULL", name=op.f("ck_runs_speed")
        ),
        sa.ForeignKeyConstraint(["cell_id"], ["cells.id"], name="fk_runs_cell_id"),
        sa.ForeignKeyConstraint(["environment_id"], ["environments.id"], name="fk_runs_environment_id"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_runs_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("uuid", name="uq_runs_uuid"),
        sa.UniqueConstraint("cell_id", "attempt", name="uq_runs_cell_id_attempt"),
    )
    op.create_index("ix_runs_environment_id", "runs", ["environment_id"])
    op.create_index("ix_runs_model_id", "runs", ["model_id"])
    op.create_index("ix_runs_outcome", "runs", ["outcome"])


def downgrade() -> None:
    op.execute("DROP VIEW run_summary")
    for table in ("samples", "runs", "models", "environments", "cells", "campaigns"):
        op.drop_table(table)
