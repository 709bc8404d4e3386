"""The tables between our names of tensors and those in published checkpoints."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

# ours: published; # stands for a number; rows apply in this order

VMAMBA = {
    "encoder.patch_embedding.first.conv": "encoder.patch_embed.0",
    "encoder.patch_embedding.first.norm": "encoder.patch_embed.2",
    "encoder.patch_embedding.second.conv": "encoder.patch_embed.5",
    "encoder.patch_embedding.second.norm": "encoder.patch_embed.7",
    "encoder.stages.#.#": "encoder.layers.#.blocks.#",
    "encoder.halvings.#.conv": "encoder.layers.#.downsample.1",
    "encoder.halvings.#.norm": "encoder.layers.#.downsample.3",
    "encoder.norms.#": "encoder.outnorm#",
    # VSS block
    "scan_norm": "norm",
    "scan.widen": "op.in_proj",
    "scan.conv": "op.conv2d",
    "scan.factors_weight": "op.x_proj_weight",
    "scan.dt_weight": "op.dt_projs_weight",
    "scan.dt_bias": "op.dt_projs_bias",
    "scan.a_log": "op.A_logs",
    "scan.skip": "op.Ds",
    "scan.norm": "op.out_norm",
    "scan.narrow": "op.out_proj",
    "mlp_norm": "norm2",
    "mlp.widen": "mlp.fc1",
    "mlp.narrow": "mlp.fc2",
}

RESIDUAL_BLOCK = {
    "first.conv": "conv1",
    "first.norm": "bn1",
    "second.conv": "conv2",
    "second.norm": "bn2",
}

MAMBA_FCS = {
    # pyramid fusion
    "near.conv": "branch1.0",
    "near.norm": "branch1.1",
    "middle.conv": "branch3.0",
    "middle.norm": "branch3.1",
    "around": "branch5.0",
    "far.conv": "branch5.1",
    "far.norm": "branch5.2",
    "channel_attention.narrow": "channel_att.fc.0",
    "channel_attention.widen": "channel_att.fc.2",
    "spatial_attention": "spatial_att.conv",
    "join.conv": "final_conv.0",
    "join.norm": "final_conv.1",
    # joint spatio-frequency fusion
    "amplitudes.0.mix.conv": "fft_pre.proj.0",
    "amplitudes.0.mix.norm": "fft_pre.proj.1",
    "amplitudes.1.mix.conv": "fft_post.proj.0",
    "amplitudes.1.mix.norm": "fft_post.proj.1",
    "reduce.conv": "reduce_conv",
    "reduce.norm": "reduce_bn",
    "channel_gate": "ch_gate",
    "spatial_gate": "sp_gate",
    # residual block
    "excitation.narrow": "se.excitation.0",
    "excitation.widen": "se.excitation.2",
    # change decoder: our levels count from the shallowest, 0; published ones from 1, some from the deepest
    "change_decoder.fusions.0": "decoder_bcd.fuse_layer_4",
    "change_decoder.fusions.1": "decoder_bcd.fuse_layer_3",
    "change_decoder.fusions.2": "decoder_bcd.fuse_layer_2",
    "change_decoder.fusions.3": "decoder_bcd.fuse_layer_1",
    "change_decoder.ladder.blocks.0": "decoder_bcd.st_block_11.1",
    "change_decoder.ladder.blocks.1": "decoder_bcd.st_block_21.1",
    "change_decoder.ladder.blocks.2": "decoder_bcd.st_block_31.1",
    "change_decoder.ladder.blocks.3": "decoder_bcd.st_block_41.1",
    "change_decoder.ladder.narrowings.0": "decoder_bcd.down_sample_3",
    "change_decoder.ladder.narrowings.1": "decoder_bcd.down_sample_2",
    "change_decoder.ladder.narrowings.2": "decoder_bcd.down_sample_1",
    "change_decoder.ladder.smoothings.0": "decoder_bcd.smooth_layer_1",
    "change_decoder.ladder.smoothings.1": "decoder_bcd.smooth_layer_2",
    "change_decoder.ladder.smoothings.2": "decoder_bcd.smooth_layer_3",
    # land-cover decoders
    "t#_decoder.ladder.blocks.0": "decoder_T#.st_block_1_semantic.1",
    "t#_decoder.ladder.blocks.1": "decoder_T#.st_block_2_semantic.1",
    "t#_decoder.ladder.blocks.2": "decoder_T#.st_block_3_semantic.1",
    "t#_decoder.ladder.blocks.3": "decoder_T#.st_block_4_semantic.1",
    "t#_decoder.ladder.narrowings.0": "decoder_T#.down_sample_3",
    "t#_decoder.ladder.narrowings.1": "decoder_T#.down_sample_2",
    "t#_decoder.ladder.narrowings.2": "decoder_T#.down_sample_1",
    "t#_decoder.ladder.smoothings.0": "decoder_T#.smooth_layer_1_semantic",
    "t#_decoder.ladder.smoothings.1": "decoder_T#.smooth_layer_2_semantic",
    "t#_decoder.ladder.smoothings.2": "decoder_T#.smooth_layer_3_semantic",
    "t#_decoder.finish": "decoder_T#.smooth_layer_0_semantic",
    # heads
    "change_head": "main_clf_cd",
    "land_cover_head": "aux_clf",
}

SCANNET = {
    "encoder.conv1": "FCN.layer0.0",
    "encoder.bn1": "FCN.layer0.1",
    "encoder": "FCN",
    "shrink.conv": "FCN.head.0",
    "shrink.norm": "FCN.head.1",
    "compare": "resCD",
    # decoders
    "narrow.conv": "transit.0",
    "narrow.norm": "transit.1",
    "join.conv": "decode.0",
    "join.norm": "decode.1",
    "t#_decoder": "Dec#",
    "change_decoder": "DecCD",
    # transformer
    "embedding": "stage1_conv_embed.0",
    "embedding_norm": "stage1_conv_embed.2",
    "blocks": "stage",
    "attention_norm": "norm1",
    "columns.around": "attns.0.get_v",
    "rows.around": "attns.1.get_v",
    "join": "proj",
    "mlp_norm": "norm2",
    "mlp.widen": "mlp.fc1",
    "mlp.narrow": "mlp.fc2",
    # heads
    "t1_head": "classifierA",
    "t2_head": "classifierB",
    "change_head.hidden.conv": "classifierCD.0",
    "change_head.hidden.norm": "classifierCD.1",
    "change_head.logit": "classifierCD.3",
}

RELATIONS = {"stacked": "cat", "interleaved": "interleave", "side_by_side": "split"}
"""ChangeMamba's relations, in the order of their numbers in released names, and their words in today's code."""

CHANGEMAMBA = {
    # change decoder: our levels count from the shallowest, 0; released ones from 1
    **{
        f"change_decoder.levels.{level}.{relation}.{part}": f"decoder_bcd.st_block_{level + 1}{number}.{index}"
        for level in range(4)
        for number, relation in enumerate(RELATIONS, 1)
        for part, index in {"mix": 0, "block": 2}.items()
    },
    **{f"change_decoder.levels.{level}.fuse.conv": f"decoder_bcd.fuse_layer_{level + 1}.0" for level in range(4)},
    **{f"change_decoder.levels.{level}.fuse.norm": f"decoder_bcd.fuse_layer_{level + 1}.1" for level in range(4)},
    **{f"change_decoder.ladder.smoothings.{level}": f"decoder_bcd.smooth_layer_{level + 1}" for level in range(3)},
    # land-cover decoders
    **{f"t#_decoder.ladder.blocks.{level}": f"decoder_T#.st_block_{level + 1}_semantic.1" for level in range(3)},
    "t#_decoder.ladder.blocks.3": "decoder_T#.st_block_4_semantic.2",
    **{f"t#_decoder.entries.{level}.conv": f"decoder_T#.trans_layer_{level + 1}.0" for level in range(3)},
    **{f"t#_decoder.entries.{level}.norm": f"decoder_T#.trans_layer_{level + 1}.1" for level in range(3)},
    "t#_decoder.entries.3": "decoder_T#.st_block_4_semantic.0",
    **{f"t#_decoder.ladder.smoothings.{level}": f"decoder_T#.smooth_layer_{level + 1}_semantic" for level in range(3)},
    "t#_decoder.finish": "decoder_T#.smooth_layer_0_semantic",
    # heads
    "change_head": "main_clf_cd",
    "land_cover_head": "aux_clf",
}

CHANGEMAMBA_OF_TODAY = {
    # today's code (since March 2026): released; its levels count from the deepest, 0
    **{
        f"decoder_bcd.stage_blocks.{4 - level}.{word}": f"decoder_bcd.st_block_{level}{number}"
        for level in range(1, 5)
        for number, word in enumerate(RELATIONS.values(), 1)
    },
    **{f"decoder_bcd.fuse_layers.{4 - level}": f"decoder_bcd.fuse_layer_{level}" for level in range(1, 5)},
    **{f"decoder_bcd.smooth_layers.{3 - level}": f"decoder_bcd.smooth_layer_{level}" for level in range(1, 4)},
    **{f"decoder_T#.stage_blocks.{4 - level}": f"decoder_T#.st_block_{level}_semantic" for level in range(1, 5)},
    **{f"decoder_T#.transition_layers.{3 - level}": f"decoder_T#.trans_layer_{level}" for level in range(1, 4)},
    **{f"decoder_T#.smooth_layers.{3 - level}": f"decoder_T#.smooth_layer_{level}_semantic" for level in range(4)},
}

NAMES = {
    "mamba-fcs": VMAMBA | RESIDUAL_BLOCK | MAMBA_FCS,
    "changemamba": VMAMBA | RESIDUAL_BLOCK | CHANGEMAMBA,
    "scannet": SCANNET,
}
"""By architecture."""


def published_name(ours: str, architecture: str) -> str:
    """What the released checkpoints of an architecture call a tensor of ours."""
    return _renamed(ours, _ROWS[architecture])


def released_name(of_today: str) -> str:
    """What ChangeMamba's released checkpoints call a tensor of its code of today; other names stay as they are."""
    return _renamed(of_today, _ROWS_OF_TODAY)


def published_shapes(ours: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes that a tensor of ours, by its name and shape, may have in a checkpoint; the usual one first."""
    if ours.endswith(".a_log"):
        return [(shape[0] * shape[1], 1)]
    if ours.endswith(".skip"):
        return [(shape[0] * shape[1],)]
    return [shape, (*shape, 1, 1)] if len(shape) == 2 and ours.endswith(".weight") else [shape]


Rows = list[tuple[re.Pattern[str], str]]


def _renamed(name: str, rows: Rows) -> str:
    for pattern, replacement in rows:
        name = pattern.sub(replacement, name)
    return name


def _rows(names: Mapping[str, str]) -> Rows:
    return [_row(ours, published) for ours, published in names.items()]


def _row(ours: str, published: str) -> tuple[re.Pattern[str], str]:
    """A row as a pattern of whole parts of a name, and its replacement."""
    numbers = itertools.count(1)
    pattern = re.escape(ours).replace(re.escape("#"), r"(\d+)")
    return re.compile(rf"(?<![^.]){pattern}(?![^.])"), re.sub("#", lambda _: rf"\{next(numbers)}", published)


_ROWS = {architecture: _rows(names) for architecture, names in NAMES.items()}
_ROWS_OF_TODAY = _rows(CHANGEMAMBA_OF_TODAY)
