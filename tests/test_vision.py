"""Images: the CNN sees what it should, and shifts and mirrors move pixels and change none."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from payattention.vision import ConvolutionalClassifier, mirrored, shifted


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(*sizes, seed=0):
    return torch.randn(*sizes, generator=generator(seed))


class TestConvolutionalClassifier:
    def test_equals_the_same_written_out(self):
        """Two roads: PyTorch's functions, one after another."""
        torch.manual_seed(0)
        model, images = ConvolutionalClassifier((3, 5, 2), classes=7), made(11, 13, 9)
        first, second, third = (
            lambda x, layer=layer: F.conv2d(x, layer.weight, layer.bias, padding=1).relu()
            for layer in model.layers
        )
        x = first(images.unsqueeze(1))
        x = second(F.max_pool2d(x, 2))
        x = third(F.max_pool2d(x, 2))
        assert x.shape == (11, 2, 3, 2)
        torch.testing.assert_close(model(images), model.output(x.mean((2, 3))))

    def test_what_moves_by_all_its_halvings_is_the_same_to_it(self):
        """What it takes for granted: two halvings are a step of four pixels."""
        torch.manual_seed(0)
        model = ConvolutionalClassifier((3, 5, 7), classes=2).double()
        with torch.no_grad():
            for layer in model.layers:
                layer.bias.zero_()  # so that black stays black up to the edges
        images = torch.zeros(2, 40, 40, dtype=torch.float64)
        images[0, 12:20, 12:20] = images[1, 16:24, 8:16] = made(8, 8).double()
        one, other = model(images)
        torch.testing.assert_close(one, other)

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ({"widths": (), "classes": 3}, r"widths=\(\): expected one or more"),
            ({"widths": (3, 0), "classes": 3}, r"widths=\(3, 0\): expected"),
            ({"widths": (3,), "classes": 0}, "classes=0: expected at least 1"),
        ],
    )
    def test_bad_sizes_are_named(self, arguments, complaint):
        with pytest.raises(ValueError, match=complaint):
            ConvolutionalClassifier(**arguments)

    def test_image_too_small_to_be_halved_is_named(self):
        model = ConvolutionalClassifier((2, 2, 2), classes=3)
        assert model(torch.zeros(1, 4, 5)).shape == (1, 3)
        with pytest.raises(ValueError, match="images: got 5 x 3 pixels; expected at least 4 x 4"):
            model(torch.zeros(1, 5, 3))


class TestShifted:
    @given(pixels=st.integers(0, 3), seed=st.integers(0, 99))
    def test_each_image_is_its_old_self_moved(self, pixels, seed):
        images = made(5, 7, 11, seed=seed)
        for image, moved in zip(
            images, shifted(images, generator(seed), pixels=pixels), strict=True
        ):
            framed = F.pad(image, (pixels,) * 4)
            steps = range(2 * pixels + 1)
            candidates = [framed[y : y + 7, x : x + 11] for y in steps for x in steps]
            assert any(torch.equal(moved, candidate) for candidate in candidates)

    def test_images_move_each_by_itself_and_all_ways(self):
        images = torch.zeros(500, 5, 5)
        images[:, 2, 2] = 1
        places = shifted(images, generator(), pixels=1).flatten(1).argmax(1)
        counts = places.bincount(minlength=25).view(5, 5)
        assert counts[1:4, 1:4].min() > 30
        assert counts.sum() == counts[1:4, 1:4].sum() == 500

    def test_negative_shift_is_named(self):
        with pytest.raises(ValueError, match="pixels=-1: expected at least 0"):
            inspect.unwrap(shifted)(torch.zeros(1, 2, 2), generator(), pixels=-1)


def test_about_half_of_the_images_are_mirrored():
    images = made(500, 3, 5)
    seen = mirrored(images, generator())
    kept = (seen == images).all(dim=(1, 2))
    turned = (seen == images.flip(2)).all(dim=(1, 2))
    assert (kept ^ turned).all()
    assert 200 < kept.sum() < 300
