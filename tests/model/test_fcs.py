"""The whole Mamba-FCS: published checkpoints give published numbers, at any size, in any precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geofcs.classes import LANDSAT, SECOND
from geofcs.model.build import build
from geofcs.model.config import IMAGENET, MambaFCSConfig, Normalisation
from geofcs.model.encoder import Normalise
from geofcs.model.interface import ChangeModel, Scores, scores_of
from geofcs.model.published import import_published, published_model, read_checkpoint
from geofcs.model.sizes import ENCODERS, pico
from geofcs.model.weights import load_weights
from tests.model import fill
from tests.model.conformance import assert_close, case, published_weights

SMALL = pico(classes=5, width=8, depths=(1, 1, 1, 1))


LINEARS = (".in_proj.weight", ".out_proj.weight", "fc1.weight", "fc2.weight")


def write_checkpoint(path: Path, name: str, prefix: str = "", *, linears_as_convolutions: bool = False) -> None:
    """A .pth file with the tensors of a released checkpoint."""
    tensors = {}
    for key, tensor in published_weights(name).items():
        if linears_as_convolutions and key.endswith(
            (".in_proj.weight", ".out_proj.weight", "fc1.weight", "fc2.weight")
        ):
            tensor = tensor[:, :, None, None]
        tensors[prefix + key] = tensor
    torch.save({"state_dict": tensors} if prefix else tensors, path)


def assert_published_numbers(model: ChangeModel, name: str) -> None:
    """The model's features, guides and logits on the inputs of a case are the published ones."""
    expected = case(f"model_{name}")
    batch, bands, height, width = (int(n) for n in expected["shape"])
    images = [torch.from_numpy(fill.image(f"{name}/{date}", (batch, bands, height, width))) for date in ("t1", "t2")]
    model.normalise = Normalise((Normalisation((0, 0, 0), (1, 1, 1)),) * 2)
    seen: dict[str, list[Tensor]] = {}
    keep_output(model.encoder, "feature", seen)
    keep_output(model.get_submodule("change_decoder"), "guide", seen)
    with torch.inference_mode():
        logits = model(*images)
    seen["feature"] = [feature[:batch] for feature in seen["feature"]]
    seen["guide"] = seen["guide"][::-1]
    for kind, maps in seen.items():
        for level, found in enumerate(maps):
            thinned = found[:, :: max(1, found.shape[1] // 16), ::2, ::2]
            assert_close(thinned, expected[f"{kind}{level}"], 1e-4)
    for key, found in logits._asdict().items():
        assert found.shape[-2:] == (height, width)
        assert_close(found[..., ::4, ::4], expected[key], 1e-4)


def keep_output(module: nn.Module, name: str, seen: dict[str, list[Tensor]]) -> None:
    def keep(_module: nn.Module, _inputs: object, output: list[Tensor]) -> None:
        seen[name] = output

    module.register_forward_hook(keep)


@pytest.fixture
def large_files() -> Iterator[Path]:
    """A folder that is gone after the test: a checkpoint has 800 MB, and pytest keeps its own folders."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def test_the_released_model_for_second_imported_and_stored_gives_the_published_numbers(large_files: Path) -> None:
    write_checkpoint(large_files / "second.pth", "mambafcs_base_second")
    import_published(large_files / "second.pth", large_files / "second.safetensors", SECOND, tile=512)
    assert_published_numbers(load_weights(large_files / "second.safetensors").model, "second_256")


@pytest.mark.long
def test_the_released_model_for_landsat_in_the_other_layout_gives_the_published_numbers(large_files: Path) -> None:
    path = large_files / "landsat.pth"
    write_checkpoint(path, "mambafcs_base_landsat", prefix="module.", linears_as_convolutions=True)
    model, config = published_model(path, read_checkpoint(path), LANDSAT)
    assert config.encoder == ENCODERS["base"]
    assert_published_numbers(model, "landsat_208x176")


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    """Two batches of random images, RGB 0-255."""
    generator = torch.Generator().manual_seed(1)
    t1, t2 = (255 * torch.rand(*shape, generator=generator) for _ in range(2))
    return t1, t2


def scores(model: ChangeModel, t1: Tensor, t2: Tensor) -> Scores:
    with torch.inference_mode():
        return scores_of(model.eval()(t1, t2))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 50), (61, 32), (40, 97)])
def test_any_size_from_32_on_works(height: int, width: int) -> None:
    found = scores(build(SMALL, seed=0), *pair(2, 3, height, width))
    assert found.t1 is not None
    assert found.change.shape == (2, height, width)
    assert found.t1.shape == (2, 4, height, width)
    assert found.change.isfinite().all()


def test_one_batch_gives_what_its_samples_give_alone() -> None:
    model, (t1, t2) = build(SMALL, seed=0), pair(3, 3, 48, 40)
    together = scores(model, t1, t2)
    alone = [scores(model, t1[i : i + 1], t2[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together.change, torch.cat([s.change for s in alone]), rtol=1e-4, atol=1e-5)


def test_swapping_the_dates_and_their_decoders_swaps_the_land_cover() -> None:
    model: Any = build(SMALL, seed=0)
    t1, t2 = pair(1, 3, 48, 40)
    before = scores(model, t1, t2)
    for fusion in model.change_decoder.fusions:
        of_a, of_b = fusion.amplitudes
        fusion.amplitudes = nn.ModuleList([of_b, of_a])
        weight, width = fusion.reduce.conv.weight.data, fusion.reduce.norm.num_features
        a, amplitude_a, b, amplitude_b, difference = weight.split(width, dim=1)
        fusion.reduce.conv.weight.data = torch.cat([b, amplitude_b, a, amplitude_a, difference], 1)
    model.t1_decoder, model.t2_decoder = model.t2_decoder, model.t1_decoder
    after = scores(model, t2, t1)
    torch.testing.assert_close(after.change, before.change)
    torch.testing.assert_close(after.t1, before.t2)
    torch.testing.assert_close(after.t2, before.t1)


def test_the_binary_model_has_no_land_cover() -> None:
    model = build(replace(SMALL, classes=1), seed=0)
    logits = model.eval()(*pair(1, 3, 32, 32))
    assert logits.t1 is None
    assert logits.t2 is None
    assert logits.change.shape == (1, 2, 32, 32)
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "change_decoder", "change_head"}


def test_each_date_is_normalised_by_its_own_statistics() -> None:
    normalise = Normalise((IMAGENET, Normalisation((1, 2, 3), (4, 5, 6))))
    first, second = (torch.tensor(mean).view(1, 3, 1, 1) for mean in (IMAGENET.mean, (5.0, 7.0, 9.0)))
    both = normalise(first, second)
    assert torch.allclose(both[0], torch.zeros(3, 1, 1), atol=1e-6)
    assert torch.allclose(both[1], torch.ones(3, 1, 1))


ABLATIONS = [replace(SMALL, change_guided_attention=False), replace(SMALL, fft=False)]


@pytest.mark.parametrize("config", ABLATIONS, ids=["no attention", "no fft"])
def test_the_ablations_of_the_paper_differ_from_the_model(config: MambaFCSConfig) -> None:
    whole, ablated = (scores(build(c, seed=0), *pair(1, 3, 32, 32)) for c in (SMALL, config))
    assert whole.t1 is not None
    assert ablated.t1 is not None
    assert not torch.allclose(whole.t1, ablated.t1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_logits_are_float32_and_scores_hardly_differ(dtype: torch.dtype) -> None:
    model, images = build(SMALL, seed=0), pair(1, 3, 65, 48)
    exact = scores(model, *images)
    with torch.autocast("cpu", dtype), torch.inference_mode():
        logits = model(*images)
        rough = scores_of(logits)
    assert logits.change.dtype == torch.float32
    assert (rough.change - exact.change).abs().max() < 0.02


def test_every_parameter_gets_a_finite_gradient() -> None:
    model = build(SMALL, seed=0).train()
    torch.manual_seed(0)
    logits = model(*pair(2, 3, 48, 64))
    sum(layer.square().mean() for layer in logits).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_one_seed_gives_one_model() -> None:
    first, again, other = (build(SMALL, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_fresh_weights_follow_the_published_distributions() -> None:
    model: Any = build(pico(2), seed=0)
    scan = model.encoder.stages[0][0].scan
    step = torch.nn.functional.softplus(scan.dt_bias)
    assert 0.001 <= step.min() < 0.002 < 0.05 < step.max() <= 0.1
    assert (scan.a_log == 0).all()
    assert (scan.skip == 1).all()
    assert scan.widen.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_sigmoid_logit_and_two_softmax_logits_score_alike() -> None:
    model_logits = build(replace(SMALL, classes=1), seed=0).eval()(*pair(1, 3, 32, 32))
    one = model_logits._replace(change=model_logits.change[:, 1:] - model_logits.change[:, :1])
    torch.testing.assert_close(scores_of(one).change, scores_of(model_logits).change)
