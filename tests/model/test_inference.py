"""Models prepared for inference give the modules' numbers, on the CPU and, where there is one, on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from geofcs.classes import LANDSAT, SECOND, ClassScheme
from geofcs.model.build import build
from geofcs.model.config import (
    STATISTICS,
    ChangeConfig,
    ChangeMambaConfig,
    EncoderConfig,
    Normalisation,
    ResNetConfig,
    SCanNetConfig,
)
from geofcs.model.encoder import Normalise
from geofcs.model.inference import PREPARED, Forward, graphs, pointwise, prepare
from geofcs.model.inference.choice import NAMES, pointwise_for
from geofcs.model.interface import ChangeModel, Logits
from geofcs.model.kernels import choice_for
from geofcs.model.published import published_model
from geofcs.model.sizes import pico
from geofcs.model.weights import LoadedWeights, WeightsInfo
from geofcs.scoring import ModelScorer
from tests.model import fill
from tests.model.conformance import assert_close, case, published_weights

on_gpu = pytest.mark.skipif(choice_for("cuda").kernels is None, reason=choice_for("cuda").reason)
DEVICES = ["cpu", pytest.param("cuda", marks=on_gpu)]
SMALL = pico(classes=5, width=8, depths=(1, 1, 1, 1))
SMALL_RIVAL = ChangeMambaConfig(EncoderConfig(8, (1, 1, 1, 1)), classes=5, decoder_width=16)
SMALL_SCANNET = SCanNetConfig(ResNetConfig(8, (1, 2, 1, 1)), classes=5, compare_depth=2)
EACH = {"mamba-fcs": SMALL, "changemamba": SMALL_RIVAL, "scannet": SMALL_SCANNET}
MARGIN = 0.05
"""Of the float32 path's first over its second class, from which on 16 bits must agree."""


def pair(*shape: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Two batches of random images, RGB 0-255."""
    generator = torch.Generator().manual_seed(1)
    t1, t2 = (255 * torch.rand(*shape, generator=generator) for _ in range(2))
    return t1.to(device), t2.to(device)


def trained_a_little(config: ChangeConfig, device: str = "cpu") -> ChangeModel:
    """A model whose norms and biases are not those of a fresh one, so that folding them matters."""
    model = build(config, seed=0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                spread = 0.1 * torch.rand(tensor.shape, generator=generator)
                tensor.add_(spread) if "running_var" in name else tensor.add_(spread - 0.05)
    return model.eval().to(device)


def released(keys: str, scheme: ClassScheme, name: str) -> tuple[ChangeModel, list[Tensor]]:
    """A released model with conformance weights, and the images of its case, which are normalised already."""
    model, _ = published_model("checkpoint.pth", published_weights(keys), scheme)  # type: ignore[arg-type]
    model.normalise = Normalise((Normalisation((0, 0, 0), (1, 1, 1)),) * 2)
    batch, bands, height, width = (int(n) for n in case(f"model_{name}")["shape"])
    return model.eval(), [
        torch.from_numpy(fill.image(f"{name}/{date}", (batch, bands, height, width))) for date in ("t1", "t2")
    ]


def prepared(model: ChangeModel, dtype: torch.dtype) -> Forward:
    """The model as inference runs it, unrecorded."""
    return PREPARED[model.config.architecture](model, dtype)


def outputs(model: Callable[[Tensor, Tensor], Logits], images: Any) -> list[Tensor]:
    with torch.inference_mode():
        return [logits for logits in model(*images) if logits is not None]


def two_channels(logits: Tensor) -> Tensor:
    """One sigmoid logit as two that a softmax takes, others as they are."""
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


@pytest.fixture
def exact_float32() -> Iterator[None]:
    """No TF32 in what the modules compute."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.mark.usefixtures("exact_float32")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        pico(classes=7),
        replace(SMALL, fft=False, change_guided_attention=False),
        replace(SMALL, classes=1),
        replace(SMALL, normalisation=(Normalisation((90, 80, 70), (40, 50, 60)), Normalisation((1, 2, 3), (4, 5, 6)))),
        SMALL_RIVAL,
        replace(SMALL_RIVAL, classes=1, decoder_width=40),
        replace(SMALL_SCANNET, normalisation=STATISTICS["landsat"]),
    ],
    ids=["small", "pico", "ablated", "binary", "normalised", "changemamba", "binary changemamba", "scannet"],
)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (61, 50), (64, 97)])
def test_in_float32_the_numbers_are_the_modules(config: ChangeConfig, height: int, width: int, device: str) -> None:
    model, images = trained_a_little(config, device), pair(2, 3, height, width, device=device)
    expected, found = outputs(model, images), outputs(prepared(model, torch.float32), images)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("keys", "scheme", "name"),
    [
        ("mambafcs_base_second", SECOND, "second_256"),
        pytest.param("mambafcs_base_landsat", LANDSAT, "landsat_208x176", marks=pytest.mark.long),
        ("changemamba_base_second", SECOND, "changemamba_second_256"),
        ("scannet_second", replace(SECOND, name="second in SCanNet's order"), "scannet_second_125"),
    ],
)
def test_the_released_models_keep_the_published_numbers_and_in_bfloat16_their_maps(
    keys: str, scheme: ClassScheme, name: str, device: str
) -> None:
    model, images = released(keys, scheme, name)
    model, images = model.to(device), [image.to(device) for image in images]
    exact = outputs(prepared(model, torch.float32), images)
    for key, logits in zip(("change", "t1", "t2"), exact, strict=True):
        assert_close(logits[..., ::4, ::4].cpu(), case(f"model_{name}")[key], 1e-4)
    rounded = outputs(prepared(model, torch.bfloat16), images)
    for logits, reference in zip(rounded, exact, strict=True):
        logits, reference = two_channels(logits), two_channels(reference)
        first, second = reference.softmax(1).topk(2, 1).values.unbind(1)
        sure = first - second > MARGIN
        assert sure.float().mean() > 0.5
        agreeing = (logits.argmax(1) == reference.argmax(1))[sure].float().mean()
        assert agreeing >= 0.999


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("config", EACH.values(), ids=EACH)
def test_constant_images_and_inputs_far_out_of_range_give_finite_numbers(
    config: ChangeConfig, dtype: torch.dtype, device: str
) -> None:
    model = prepared(trained_a_little(config, device), dtype)
    constant = torch.full((1, 3, 48, 40), 128.0, device=device)
    noise, _ = pair(1, 3, 48, 40, device=device)
    for images in ((constant, constant), (100 * noise, -100 * noise)):
        assert all(logits.isfinite().all() for logits in outputs(model, images))


@pytest.mark.parametrize("config", EACH.values(), ids=EACH)
def test_preparing_does_not_change_the_model(config: ChangeConfig) -> None:
    model, images = trained_a_little(config), pair(1, 3, 40, 40)
    before = outputs(model, images)
    outputs(prepare(model, torch.float32), images)
    assert all(torch.equal(a, b) for a, b in zip(before, outputs(model, images), strict=True))


@on_gpu
@pytest.mark.parametrize("config", EACH.values(), ids=EACH)
def test_a_recorded_model_gives_what_it_gives_unrecorded_for_every_shape(config: ChangeConfig) -> None:
    model = trained_a_little(config, "cuda")
    recorded, plain = prepare(model, torch.bfloat16), prepared(model, torch.bfloat16)
    for shape in ((2, 3, 64, 64), (1, 3, 40, 48), (2, 3, 64, 64)):
        images = pair(*shape, device="cuda")
        found = [logits.clone() for logits in outputs(recorded, images)]
        assert all(torch.equal(a, b) for a, b in zip(found, outputs(plain, images), strict=True))


def arguments_of(name: str, batch: int, height: int, width: int, channels: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """Fresh random arguments for a pointwise function."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, device="cuda")

    def image(count: int = channels) -> Tensor:
        return draw(batch, height, width, count).to(dtype)

    coarse = draw(batch, (height + 1) // 2, (width + 1) // 2, channels).to(dtype)
    vector, gates = draw(channels), draw(batch, height, width)
    per_image = draw(batch, channels)
    return {
        "layer_norm": (image(), vector, draw(channels), draw(channels)),
        "layer_norm_gelu": (image(), vector, draw(channels)),
        "add_to_channels": (image(), vector),
        "depthwise_silu": (image(), draw(3, 3, channels)),
        "depthwise": (image(), draw(5, 5, channels), vector),
        "pools": ([image(), image(), image()],),
        "weigh": ([image(), image(), image()], draw(batch, 3 * channels)),
        "gate": (draw(batch, height, width, 2), draw(7, 7, 2), draw(1)),
        "gated_relu_add": (image(), gates, vector, image()),
        "gated_add": (image(), gates, coarse),
        "guided_add": (image(), image(), coarse),
        "weighed_add_relu": (image(), image(), per_image, vector),
        "to_planes": (image(),),
        "log_amplitudes": (torch.complex(draw(batch, channels, height, width), draw(1)), 0.3, dtype),
        "join_dates": (
            torch.cat([image(), image()]),
            draw(2, batch, height, width // 2 + 1, channels).to(dtype),
        ),
        "enlarge_logits": (draw(batch, height, width, channels), max(1, channels - 1), 4 * height + 1, 4 * width),
        "normalise": (
            draw(batch, 3, height, width),
            draw(batch, 3, height, width),
            draw(2, 3),
            1 + draw(2, 3) ** 2,
            dtype,
        ),
    }[name]


def copied(arguments: Any) -> Any:
    if isinstance(arguments, Tensor):
        return arguments.clone()
    return type(arguments)(map(copied, arguments)) if isinstance(arguments, list | tuple) else arguments


ON_CPUS_ONLY = "layer_norm_of_sum"
"""On a GPU products add to float32 or 16 bits themselves."""


@on_gpu
@pytest.mark.parametrize("name", [name for name in NAMES if name != ON_CPUS_ONLY])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_pointwise_kernel_gives_what_its_definition_gives_at_odd_sizes(name: str, dtype: torch.dtype) -> None:
    # Convolutions round their weights to 16 bits in the definition, not in the kernels.
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    compiled = getattr(pointwise_for(torch.empty(0, device="cuda")), name)
    assert compiled is not getattr(pointwise, name)
    for size in ((2, 17, 23, 128), (1, 8, 8, 2048), (2, 33, 5, 24), (1, 13, 9, 7), (3, 40, 32, 21), (1, 1, 1, 8)):
        arguments = arguments_of(name, *size, dtype)
        found, expected = compiled(*copied(arguments)), getattr(pointwise, name)(*copied(arguments))
        for one, other in zip(as_tuple(found), as_tuple(expected), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            error = (one.double() - other.double()).norm() / other.double().norm().clamp_min(1e-12)
            assert error < (1e-5 if one.dtype == torch.float32 and dtype == torch.float32 else tolerance), size


def as_tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_where_memory_is_short_a_model_goes_on_without_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU of 20 tiles, as many of which a recording keeps as it was given."""
    alive: set[int] = set()

    class Recording:
        def __init__(self, _model: object, t1: Tensor, _t2: Tensor) -> None:
            if len(t1) + sum(alive) > 20:
                raise torch.OutOfMemoryError
            self.tiles = len(t1)
            alive.add(self.tiles)

        def __del__(self) -> None:
            alive.discard(getattr(self, "tiles", 0))

        def __call__(self, t1: Tensor, _t2: Tensor) -> Logits:
            return Logits(torch.full((len(t1), 2, 1, 1), 7.0), None, None)

    def plain(t1: Tensor, _t2: Tensor) -> Logits:
        if len(t1) > 20:
            raise torch.OutOfMemoryError
        return Logits(torch.stack([torch.zeros(len(t1), 1, 1), torch.full((len(t1), 1, 1), 9.0)], 1), None, None)

    monkeypatch.setattr(graphs, "_Recording", Recording)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    checked: Future[None] = Future()
    checked.set_result(None)
    info = WeightsInfo(SMALL, SECOND, 64, "nothing", "")
    scorer = ModelScorer(LoadedWeights(build(SMALL, seed=0).eval(), info, checked), "cpu", "fp32")
    scorer._model = graphs.Recorded(plain)
    batches = {tiles: pair(tiles, 3, 1, 1) for tiles in (16, 8, 32)}
    assert (scorer(*batches[16]).change == 0.5).all()
    assert alive == {16}
    assert (scorer(*batches[8]).change > 0.99).all()
    assert alive == set()
    assert (scorer(*batches[16]).change > 0.99).all()
    with pytest.raises(torch.OutOfMemoryError):
        scorer(*batches[32])
