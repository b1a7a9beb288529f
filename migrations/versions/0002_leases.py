"""Campaigns that can be resumed: cells get a state, a role and a lease, campaigns their definition and hash.

The view is made anew with three columns more; those it had keep their meaning. Columns are added one by one:
a table made anew would take minutes for a large database.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
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
    r.compile_ms AS compile_ms, r.gpu_ms AS gpu_ms, r.canary_ms AS canary_ms,
    r.weight_bytes AS weight_bytes,
    r.weight_bytes_fp16 AS weight_bytes_fp16, r.memory_reduction AS memory_reduction,
    r.kernel_rel_l2 AS kernel_rel_l2, r.cosine_fp32 AS cosine_fp32, r.rel_l2_fp32 AS rel_l2_fp32,
    r.max_abs_fp32 AS max_abs_fp32, r.top1_agreement AS top1_agreement,
    r.error_stage AS error_stage, r.error_category AS error_category, r.error_name AS error_name,
    r.error_message AS error_message, r.error_operator AS error_operator,
    r.started_at AS started_at, r.finished_at AS finished_at, c.role AS role, c.state AS cell_state
FROM runs r
JOIN cells c ON c.id = r.cell_id
JOIN campaigns p ON p.id = c.campaign_id
JOIN environments e ON e.id = r.environment_id
JOIN models m ON m.id = r.model_id
"""
# As literal SQL: Alembic leaves a column's CHECK out when it adds one.
ADDED = (
    "ALTER TABLE campaigns ADD COLUMN definition JSON",
    "ALTER TABLE campaigns ADD COLUMN plan_hash TEXT",
    "ALTER TABLE campaigns ADD COLUMN note TEXT",
    "ALTER TABLE cells ADD COLUMN role TEXT DEFAULT 'arm' NOT NULL "
    "CONSTRAINT ck_cells_role CHECK (role IN ('arm', 'twin'))",
    "ALTER TABLE cells ADD COLUMN state TEXT DEFAULT 'planned' NOT NULL "
    "CONSTRAINT ck_cells_state CHECK (state IN ('planned', 'leased', 'done', 'skipped'))",
    "ALTER TABLE cells ADD COLUMN note TEXT",
    "ALTER TABLE cells ADD COLUMN lease_owner TEXT",
    "ALTER TABLE cells ADD COLUMN lease_stage TEXT",
    "ALTER TABLE cells ADD COLUMN leased_at TEXT",
    "ALTER TABLE cells ADD COLUMN heartbeat_at TEXT",
    "ALTER TABLE cells ADD COLUMN lease_expires_at TEXT",
)


def upgrade() -> None:
    op.execute("DROP VIEW run_summary")
    for statement in ADDED:
        op.execute(statement)
    op.add_column("runs", sa.Column("canary_ms", sa.Double(), nullable=True))
    # Whoever stopped a campaign of old left cells without a run, or with an interrupted one only.
    op.execute(
        "UPDATE cells SET state = 'done' WHERE EXISTS "
        "(SELECT 1 FROM runs WHERE runs.cell_id = cells.id AND runs.outcome <> 'interrupted')"
    )
    op.execute("UPDATE campaigns SET state = 'interrupted' WHERE state IN ('planned', 'running')")
    op.create_index("ix_cells_campaign_id_state_position", "cells", ["campaign_id", "state", "position"])
    op.create_index("ix_runs_cell_id_outcome", "runs", ["cell_id", "outcome"])
    op.execute(VIEW)


def downgrade() -> None:
    first = op.get_context().script.get_revision("0001").module
    op.execute("DROP VIEW run_summary")
    op.drop_index("ix_runs_cell_id_outcome", "runs")
    op.drop_index("ix_cells_campaign_id_state_position", "cells")
    op.drop_column("runs", "canary_ms")
    for statement in reversed(ADDED):
        _, _, table, _, _, column = statement.split()[:6]
        op.drop_column(table, column)
    op.execute("UPDATE campaigns SET state = 'running' WHERE state = 'interrupted'")
    op.execute(first.VIEW)
