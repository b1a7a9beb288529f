"""How a WebNN graph is to hold its weights.

No run of before was asked for a plan: which form ran is in `effective_weight_path`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
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
    c.requested_generate AS requested_generate,
    c.requested_engine AS requested_engine, c.requested_device AS requested_device,
    c.requested_gpu_features AS requested_gpu_features,
    c.requested_webnn_plan AS requested_webnn_plan,
    c.requested_group_size AS requested_group_size, c.requested_scheme AS requested_scheme,
    c.requested_weights AS requested_weights,
    r.effective_platform AS effective_platform, r.effective_bits AS effective_bits,
    r.effective_bits_mean AS effective_bits_mean, r.effective_device AS effective_device,
    r.effective_engine AS effective_engine, r.effective_engine_version AS effective_engine_version,
    r.effective_features AS effective_features, r.effective_kernels AS effective_kernels,
    r.effective_activations AS effective_activations,
    r.effective_group_size AS effective_group_size, r.effective_scheme AS effective_scheme,
    r.effective_weight_path AS effective_weight_path, r.effective_wait AS effective_wait,
    r.effective_completion_ms AS effective_completion_ms,
    e.browser AS browser, e.browser_version AS browser_version, e.browser_binary AS browser_binary,
    e.driver_version AS driver_version, e.user_agent AS user_agent,
    e.adapter_name AS adapter, e.adapter_is_fallback AS adapter_is_fallback,
    e.os AS os, e.cpu AS cpu, e.host_gpus AS host_gpus, e.cross_origin_isolated AS cross_origin_isolated,
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
    r.sample_ticks AS sample_ticks, r.timer_ms AS timer_ms,
    r.decode_ms_median AS decode_ms_median, r.decode_ms_mean AS decode_ms_mean,
    r.decode_ms_p50 AS decode_ms_p50,
    r.decode_ms_p90 AS decode_ms_p90, r.decode_ms_p99 AS decode_ms_p99, r.decode_ms_std AS decode_ms_std,
    r.decode_ms_ci95_low AS decode_ms_ci95_low, r.decode_ms_ci95_high AS decode_ms_ci95_high,
    r.decode_ms_n AS decode_ms_n,
    r.decode_tokens_per_s AS decode_tokens_per_s, r.prefill_tokens_per_s AS prefill_tokens_per_s,
    r.renderer_memory_mb AS renderer_memory_mb, r.gpu_process_memory_mb AS gpu_process_memory_mb,
    r.kernel_rel_l2 AS kernel_rel_l2, r.cosine_fp32 AS cosine_fp32, r.rel_l2_fp32 AS rel_l2_fp32,
    r.max_abs_fp32 AS max_abs_fp32, r.top1_agreement AS top1_agreement,
    r.greedy_agreement AS greedy_agreement,
    r.error_stage AS error_stage, r.error_category AS error_category, r.error_name AS error_name,
    r.error_message AS error_message, r.error_operator AS error_operator,
    r.started_at AS started_at, r.finished_at AS finished_at, c.role AS role, c.state AS cell_state
FROM runs r
JOIN cells c ON c.id = r.cell_id
JOIN campaigns p ON p.id = c.campaign_id
JOIN environments e ON e.id = r.environment_id
JOIN models m ON m.id = r.model_id
"""


def upgrade() -> None:
    op.execute("DROP VIEW run_summary")
    op.add_column("cells", sa.Column("requested_webnn_plan", sa.Text(), nullable=True))
    op.execute(VIEW)


def downgrade() -> None:
    before = op.get_context().script.get_revision("0007").module
    op.execute("DROP VIEW run_summary")
    op.drop_column("cells", "requested_webnn_plan")
    op.execute(before.VIEW)
