"""Wrong kernels: shader texts with one mistake each, of the kind that people make. Every one must be caught.

`bench run --fault mutants:NAME` brings one about where this folder is on PYTHONPATH.

An edit replaces a text that stands in the shader today; where the shader changes, `Shaders` raises, and the
mutant is mended with it. Those of packed weights need a form for 16 bits, which has neither scales nor zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.faults.serving import Shaders

Edits = dict[str, list[tuple[str, str]]]

_HALVES = "return vec4<f32>(unpack2x16float(codes[word]), unpack2x16float(codes[word + 1u]));"
_STORE = "result(activate(sum + b))"
_BIAS = "unpack2x16float(bias[n >> 1u])[n & 1u];"


@dataclass(frozen=True)
class Mutant:
    """A wrong kernel: what is wrong with it, and the texts that make it so by file."""

    name: str
    about: str
    edits: Edits = field(hash=False)
    few: bool = False  # of the kernel for a few rows, which decodes: a run of few tokens has it
    writes: bool = False  # of what only language models have


def _decoding(name: str, about: str, *edits: tuple[str, str]) -> Mutant:
    return Mutant(name, about, {"row_end.inc.wgsl": list(edits)}, few=True)


def _writing(name: str, about: str, shader: str, *edits: tuple[str, str]) -> Mutant:
    return Mutant(name, about, {shader: list(edits)}, writes=True)


def _unpacking(name: str, about: str, quantized: tuple[str, str], half: tuple[str, str]) -> Mutant:
    return Mutant(name, about, {"weights.inc.wgsl": [quantized, half]})


MUTANTS = (
    _unpacking(
        "nibbles_swapped",
        "neighbouring codes of a word change places",
        ("vec4<u32>(0u, ${BITS}u,", "vec4<u32>(${BITS}u, 0u,"),
        (_HALVES, "return vec4<f32>(unpack2x16float(codes[word + 1u]), unpack2x16float(codes[word]));"),
    ),
    _unpacking(
        "group_off_by_one",
        "the scale of the next group, the words of the next column",
        (
            "let index = row * GROUPS + unit * UNIT / GROUP;",
            "let index = row * GROUPS + unit * UNIT / GROUP + 1u;",
        ),
        ("let word = row * WORDS + unit * 2u;", "let word = row * WORDS + unit * 2u + 1u;"),
    ),
    _unpacking(
        "zero_point_dropped",
        "codes are taken for signed numbers, halves lose their sign",
        ("return ${(1 << BITS) / 2}.0;", "return 0.0;"),
        (_HALVES, "return abs(vec4<f32>(unpack2x16float(codes[word]), unpack2x16float(codes[word + 1u])));"),
    ),
    _unpacking(
        "top_bit_lost",
        "the mask is a bit too narrow, halves lose most of their mantissa",
        ("const MASK = ${(1 << BITS) - 1}u;", "const MASK = ${(1 << BITS) / 2 - 1}u;"),
        (
            _HALVES,
            "return vec4<f32>(unpack2x16float(codes[word] & 0xfc00fc00u), "
            "unpack2x16float(codes[word + 1u] & 0xfc00fc00u));",
        ),
    ),
    _unpacking(
        "other_half_of_the_pair",
        "the wrong half of an f16 pair",
        (
            "unpack2x16float(scales[index >> 1u])[index & 1u]",
            "unpack2x16float(scales[index >> 1u])[1u - (index & 1u)]",
        ),
        (_HALVES, "return vec4<f32>(unpack2x16float(codes[word]).yx, unpack2x16float(codes[word + 1u]).yx);"),
    ),
    Mutant(
        "bias_dropped",
        "no bias",
        {"matmul_tile.wgsl": [(_BIAS, "0.0 * unpack2x16float(bias[n >> 1u])[n & 1u];")]},
    ),
    Mutant(
        "bias_off_by_one",
        "the bias of the neighbour",
        {"matmul_tile.wgsl": [(_BIAS, "unpack2x16float(bias[n >> 1u])[1u - (n & 1u)];")]},
    ),
    Mutant(
        "last_column_unwritten",
        "the last output feature keeps what was there",
        {"matmul_tile.wgsl": [("m >= M || n >= N", "m >= M || n + 1u >= N")]},
    ),
    Mutant(
        "half_the_rows_unwritten",
        "half of the tokens keep what was there",
        {"matmul_tile.wgsl": [("m >= M || n >= N", "m >= M / 2u || n >= N")]},
    ),
    Mutant(
        "stored_one_too_far",
        "every output lands one place too far",
        {"matmul_tile.wgsl": [("out[m * N + n]", "out[(m * N + n + 1u) % (M * N)]")]},
    ),
    Mutant(
        "activation_forgotten",
        "GELU is left out",
        {"matmul_tile.wgsl": [(_STORE, "scalar(sum + b)")]},
    ),
    Mutant(
        "relu_for_gelu",
        "another activation",
        {
            "activation.inc.wgsl": [
                ("return 0.5 * x * (1.0 + erf_(x * 0.7071067811865476));", "return max(x, 0.0);")
            ]
        },
    ),
    Mutant(
        "nan",
        "every output is NaN",
        {"matmul_tile.wgsl": [(_STORE, "result(activate(sum + b) + bitcast<f32>(0x7fc00000u | n))")]},
    ),
    Mutant(
        "all_zero",
        "every output is 0",
        {"matmul_tile.wgsl": [(_STORE, "result(0.0 * activate(sum + b))")]},
    ),
    Mutant(
        "last_tile_dropped",
        "the last part of K is not summed up",
        {"matmul_tile.wgsl": [("k0 < row_codes(); k0 += BK", "k0 + BK < row_codes(); k0 += BK")]},
    ),
    Mutant(
        "lanes_crossed",
        "two of four neighbouring weights change places",
        {"matmul_tile.wgsl": [("dot(a_${i}, w_${j})", "dot(a_${i}, w_${j}.yxzw)")]},
    ),
    Mutant(
        "mean_not_taken_out",
        "layer norm without its mean",
        {
            "layer_norm.wgsl": [
                ("scalar((value(base + i) - first - mean) * scale", "scalar(value(base + i) * scale")
            ]
        },
    ),
    Mutant(
        "unbiased_variance",
        "layer norm divides by H - 1",
        {"layer_norm.wgsl": [("total(thread, squares) / f32(H)", "total(thread, squares) / f32(H - 1u)")]},
    ),
    Mutant(
        "gamma_for_beta",
        "gain and offset change places",
        {"layer_norm.wgsl": [("* scale * g + o", "* scale * o + g")]},
    ),
    Mutant(
        "residual_dropped",
        "the second summand of add and norm is lost",
        {"layer_norm.wgsl": [("f32(a[index]) + f32(b[index])", "f32(a[index]) + 0.0 * f32(b[index])")]},
    ),
    Mutant(
        "mask_ignored",
        "padding is attended to",
        {"attention.wgsl": [("min(key, S - 1u)] != 0", "min(key, S - 1u)] >= 0")]},
    ),
    Mutant(
        "scale_forgotten",
        "scores are not divided by the root of the head size",
        {"attention.wgsl": [("dot(q_${i}, k_${j});", "dot(q_${i}, k_${j}) / SCALE;")]},
    ),
    Mutant(
        "heads_mixed",
        "a head mixes the values of the next",
        {
            "attention.wgsl": [
                (
                    "y = load_v(first_key + k0 + i / D4, shared_head,",
                    "y = load_v(first_key + k0 + i / D4, (head + D) % O_STRIDE,",
                )
            ]
        },
    ),
    Mutant(
        "stale_weight",
        "the running sum of softmax is not scaled down when a larger score comes",
        {"attention.wgsl": [("weight_${i} *= keep;", "weight_${i} *= select(1.0, keep, k0 == 0u);")]},
    ),
    Mutant(
        "row_off_by_one",
        "the next token's row of the table",
        {
            "embedding.wgsl": [
                ("min(u32(max(ids[row], 0)), V - 1u)", "min(u32(max(ids[row], 0)) + 1u, V - 1u)")
            ]
        },
    ),
    Mutant(
        "positions_dropped",
        "a table's rows are not added to those before",
        {"embedding.wgsl": [("value[i] + f32(other[index])", "value[i] + 0.0 * f32(other[index])")]},
    ),
    Mutant(
        "padding_counted",
        "the mean is taken over padding too",
        {
            "mean_pool.wgsl": [
                ("let m = f32(mask[batch * T + t]);", "let m = 1.0 + 0.0 * f32(mask[batch * T + t]);")
            ]
        },
    ),
    Mutant(
        "root_forgotten",
        "rows are divided by the square of their length",
        {"l2_normalize.wgsl": [("max(sqrt(sums[0]), EPSILON)", "max(sums[0], EPSILON)")]},
    ),
    Mutant(
        "row_part_lost",
        "one thread's or subgroup's part of a sum is left out",
        {
            "matmul_row.wgsl": [
                ("subgroupAdd(c_${m}_${r})", "subgroupAdd(select(c_${m}_${r}, 0.0, thread % TEAM == 1u))"),
                ("+ thread] = c_${m}_${r};", "+ thread] = select(c_${m}_${r}, 0.0, thread % TEAM == 1u);"),
            ]
        },
        few=True,
    ),
    _decoding(
        "row_bias_off_by_one",
        "the bias of the neighbour, for a few rows",
        ("bias[row >> 1u])[row & 1u]", "bias[row >> 1u])[1u - (row & 1u)]"),
    ),
    _decoding(
        "row_last_column_unwritten",
        "the last output feature keeps what was there, for a few rows",
        ("if (n < N) {", "if (n + 1u < N) {"),
    ),
    _decoding(
        "row_stored_one_too_far",
        "every output of a few rows lands one place too far",
        ("out[m * N + n] = result(x", "out[(m * N + n + 1u) % (M * N)] = result(x"),
    ),
    _decoding(
        "row_activation_forgotten",
        "the activation is left out, for a few rows",
        ("activate(whole(n, sum))", "whole(n, sum)"),
    ),
    _decoding(
        "row_of_the_neighbour",
        "the weights of the next column, for a few rows",
        ("min(team * ${ROWS}u + r, N - 1u)", "min(team * ${ROWS}u + r + 1u, N - 1u)"),
    ),
    _writing(
        "newest_key_forgotten",
        "a token does not see itself",
        "attention_row.wgsl",
        ("u32(length[0]) + row + 1u, CAPACITY", "max(u32(length[0]) + row, 1u), CAPACITY"),
    ),
    _writing(
        "heads_share_wrongly",
        "neighbouring heads read keys of different heads",
        "attention_row.wgsl",
        ("head / SHARE * COLUMNS", "head % 2u * COLUMNS"),
    ),
    _writing(
        "position_one_too_far",
        "angles are those of the next position",
        "rope.wgsl",
        ("table[position * D + i]", "table[(position + 1u) * D + i]"),
    ),
    _writing(
        "pair_turned_back",
        "the second of a pair is turned the other way",
        "rope.wgsl",
        ("y * cosine + x * sine", "y * cosine - x * sine"),
    ),
    _writing(
        "cache_row_of_before",
        "keys and values land one row before theirs",
        "rope.wgsl",
        (
            "let to = position * KV_HEADS * D + own;",
            "let to = max(position, 1u) * KV_HEADS * D - KV_HEADS * D + own;",
        ),
    ),
    _writing(
        "gate_left_shut",
        "what a gate opens is taken for the gate",
        "row_end.inc.wgsl",
        (
            "activate(whole(n, gate)) * whole(n + N / 2u, other)",
            "activate(whole(n, other)) * whole(n + N / 2u, gate)",
        ),
    ),
    _writing(
        "residual_of_the_neighbour",
        "the residual's next value is added",
        "row_end.inc.wgsl",
        ("residual[m * N + n]", "residual[m * N + (n + 1u) % N]"),
    ),
    _writing(
        "turned_as_the_next_position",
        "a token's angles are those of the next position",
        "row_end.inc.wgsl",
        ("table[position * D + i]", "table[(position + 1u) * D + i]"),
    ),
    _writing(
        "key_of_another_head",
        "a token's keys and values land with the head after theirs",
        "row_end.inc.wgsl",
        ("(head - HEADS) % KV_HEADS * D", "(head - HEADS + 1u) % KV_HEADS * D"),
    ),
    _writing(
        "mean_of_squares_halved",
        "the norm divides by twice as many values",
        "rms_norm.wgsl",
        ("row_total(thread, mine) / f32(H)", "row_total(thread, mine) / f32(2u * H)"),
    ),
    _writing(
        "second_best_is_next",
        "the smallest logit is taken for the largest",
        "best.inc.wgsl",
        ("b.x > a.x ||", "b.x < a.x ||"),
    ),
)


def injection(name: str) -> Shaders:
    """The wrong kernel of that name.

    Raises:
        LookupError: there is none.
    """
    return Shaders({one.name: one.edits for one in MUTANTS}[name])
