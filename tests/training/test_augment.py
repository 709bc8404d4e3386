"""Augmentations: what happens to images happens to labels, as often and as far as the recipe says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geofcs.training.augment import augmented, recoloured, swapped, turned
from geofcs.training.batches import Batch
from geofcs.training.config import AugmentConfig, read_config, recipe_file
from geofcs.training.sensors import blurred, misregistered, sensed

SECOND = read_config(recipe_file("second", "published")).augment


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(count: int, size: int = 8) -> Batch:
    """A batch whose labels are bands of its images, so that both can be compared after anything geometric."""
    t1, t2 = torch.randint(0, 256, (2, count, 3, size, size), generator=seeded(9), dtype=torch.uint8)
    return Batch(t1, t2, t1[:, 0] ^ t2[:, 0], t1[:, 0], t2[:, 0], tuple(map(str, range(count))))


def follows(batch: Batch) -> bool:
    """Whether the labels are still those of the images."""
    return torch.equal(batch.t1[:, 0], batch.label1) and torch.equal(batch.t2[:, 0], batch.label2)


def test_labels_follow_images_through_everything_geometric() -> None:
    batch = swapped(turned(batch_of(64), SECOND, seeded()), 0.5, seeded(1))
    assert follows(batch)
    assert torch.equal(batch.change, batch.label1 ^ batch.label2)


def test_a_turn_is_one_of_the_eight_and_every_one_of_them_occurs() -> None:
    before = batch_of(400)
    after = turned(before, SECOND, seeded())
    seen = torch.zeros(8)
    for image, result in zip(before.t1, after.t1, strict=True):
        ways = [torch.rot90(each, k, (-2, -1)) for each in (image, image.flip(-1)) for k in range(4)]
        (way,) = [number for number, each in enumerate(ways) if torch.equal(each, result)]
        seen[way] += 1
    # Half of the pairs end in their own coset of the flips with a chance of 1/3, the others with 2/3.
    assert seen.min() > 0
    assert seen[[1, 3, 5, 7]].sum() / 400 == pytest.approx(2 / 3, abs=0.1)


def test_without_flips_an_image_is_never_upright() -> None:
    before = batch_of(100)
    after = turned(before, SECOND.model_copy(update={"flip": 0.0}), seeded())
    for image, result in zip(before.t1, after.t1, strict=True):
        turns = [k for k in range(4) if torch.equal(torch.rot90(image, k, (-2, -1)), result)]
        assert turns in ([1], [2], [3])


def test_swapped_dates_swap_images_and_labels_but_not_change() -> None:
    before = batch_of(3)
    after = swapped(before, 1.0, seeded())
    assert torch.equal(after.t1, before.t2)
    assert torch.equal(after.label2, before.label1)
    assert torch.equal(after.change, before.change)
    assert torch.equal(swapped(before, 0.0, seeded()).t1, before.t1)


def test_about_half_of_the_dates_are_swapped() -> None:
    before = batch_of(400, 2)
    after = swapped(before, 0.5, seeded())
    same = (after.t1 == before.t1).flatten(1).all(1).float().mean()
    assert float(same) == pytest.approx(0.5, abs=0.08)


def grey(images: Tensor) -> Tensor:
    """(b, 3, h, w) -> (b, 1, h, w)."""
    return (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def test_brightness_scales_contrast_pulls_to_the_mean_grey_and_saturation_to_the_own_grey() -> None:
    image = torch.tensor([[100.0, 50.0], [60.0, 90.0], [20.0, 70.0]])[None, :, None]
    generator = seeded(5)
    bright, contrast, saturation = (
        (1 + spread * torch.randn(1, generator=generator)).clamp(*limits)
        for spread, limits in ((0.1, (0.8, 1.2)), (0.1, (0.9, 1.1)), (0.05, (0.9, 1.1)))
    )
    expected = image * bright
    expected = expected * contrast + grey(expected).mean() * (1 - contrast)
    expected = expected * saturation + grey(expected) * (1 - saturation)
    torch.testing.assert_close(recoloured(image, SECOND, seeded(5)), expected)


def test_colours_stay_within_their_limits() -> None:
    white, middle = torch.full((200, 3, 2, 2), 255.0), torch.full((200, 3, 2, 2), 100.0)
    wild = SECOND.model_copy(update={"brightness": 5.0, "contrast": 5.0, "saturation": 5.0})
    assert recoloured(white, wild, seeded()).max() <= 255
    levels = recoloured(middle, wild, seeded())
    assert levels.min() >= 80 - 1e-3
    assert levels.max() <= 120 + 1e-3
    assert levels.min() < 81 < 119 < levels.max()


def test_each_date_has_colours_of_its_own() -> None:
    batch = batch_of(4)._replace(t2=batch_of(4).t1)
    after = augmented(batch, SECOND, seeded())
    assert not torch.allclose(after.t1, after.t2, atol=1)


@pytest.mark.parametrize("sensors", [0.0, 1.0])
def test_the_same_seed_gives_the_same_batch_and_another_seed_another(sensors: float) -> None:
    options = SECOND.model_copy(update={"sensors": sensors})
    first, again, other = (augmented(batch_of(4, 16), options, seeded(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first[:5], again[:5], strict=True))
    assert not torch.equal(first.t1, other.t1)


def test_sensors_are_part_of_the_augmentation() -> None:
    plain, strong = (
        augmented(batch_of(4, 16), SECOND.model_copy(update={"sensors": strength}), seeded()) for strength in (0.0, 1.0)
    )
    assert (plain.t1 - strong.t1).abs().mean() > 5


def test_without_augmentation_a_batch_is_what_it_was() -> None:
    nothing = AugmentConfig(flip=0, rotate=False, swap=0, brightness=0, contrast=0, saturation=0, sensors=0)
    before = batch_of(4)
    after = augmented(before, nothing, seeded())
    torch.testing.assert_close(after.t1, before.t1.float(), atol=1e-3, rtol=0)
    assert follows(before)
    assert torch.equal(after.change, before.change)


def test_sensors_of_strength_zero_change_nothing_and_others_stay_in_range() -> None:
    t1, t2 = torch.rand(2, 4, 3, 24, 24, generator=seeded()) * 255
    assert sensed(t1, t2, 0.0, seeded())[1] is t2
    for images in sensed(t1, t2, 2.0, seeded()):
        assert bool(images.isfinite().all())
        assert images.min() >= 0
        assert images.max() <= 255


def test_dates_of_some_pairs_are_seen_alike_and_those_of_others_are_not() -> None:
    t1 = torch.rand(200, 3, 1, 1, generator=seeded()).expand(-1, -1, 16, 16) * 120 + 60
    first, second = sensed(t1, t1, 1.0, seeded())
    apart = (first - second).mean((2, 3)).abs().amax(1)
    assert float((apart < 8).float().mean()) > 0.1
    assert float((apart > 40).float().mean()) > 0.1
    assert float((first - t1).mean((2, 3)).abs().amax(1).median()) > 10  # both are far from what was painted


def test_a_blur_keeps_the_mean_and_lowers_the_variance_the_more_the_wider_it_is() -> None:
    images = torch.rand(3, 3, 64, 64, generator=seeded())
    after = blurred(images, torch.tensor([0.0, 0.6, 1.2]))
    torch.testing.assert_close(after[0], images[0])
    torch.testing.assert_close(after.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.01, rtol=0)
    spread: Tensor = after.std((1, 2, 3))
    assert spread[0] > spread[1] > spread[2]


def test_misregistration_moves_an_image_by_pixels_and_not_by_tens_of_them() -> None:
    ramp = torch.arange(64.0).expand(32, 3, 64, 64)
    moved = (misregistered(ramp, torch.ones(32), seeded()) - ramp)[:, :, 16:48, 16:48].mean((1, 2, 3))
    assert 0.8 < float(moved.std()) < 2.5
    assert float(moved.abs().max()) < 8
