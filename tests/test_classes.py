"""Colours as classes: the grid, its soft encoding, its weights, and what a head that is trained with them says."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from sklearn.neighbors import NearestNeighbors

from fastcolor.color.classes import CENTRES, CLASSES, cross_entropy, encode, frequencies, likely, rebalanced


def test_every_color_of_srgb_lies_in_the_cell_of_a_class_and_every_cell_holds_one():
    steps = np.arange(0, 256, 3, dtype=np.uint8)
    rgb = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    cells = {tuple(cell) for cell in np.rint(rgb2lab(rgb)[0, :, 1:] / 10).astype(int) * 10}
    assert cells == {tuple(map(int, centre)) for centre in CENTRES}
    assert len(cells) == CLASSES == 261


def test_a_color_belongs_to_its_five_nearest_classes():
    """As the code of Zhang et al. 2016 encodes it (NNEncode), with scikit-learn."""
    rng = np.random.default_rng(0)
    ab = rng.integers(-60, 60, (200, 2)).astype(np.float32) + 0.25  # rounded: no two classes are equally near
    classes, shares = encode(torch.from_numpy(ab).view(200, 2, 1, 1))
    far, _ = NearestNeighbors(n_neighbors=5).fit(CENTRES.numpy()).kneighbors(np.rint(ab))
    weights = np.exp(-(far**2) / (2 * 5**2))
    np.testing.assert_allclose(shares[..., 0, 0], weights / weights.sum(1, keepdims=True), rtol=1e-4)
    found = np.linalg.norm(CENTRES.numpy()[classes[..., 0, 0]] - np.rint(ab)[:, None], axis=2)
    np.testing.assert_allclose(found, far, rtol=1e-4, atol=1e-4)  # not the classes: some are equally near


def test_frequencies_count_pixels():
    ab = torch.tensor([[0.0, 0.0], [50.0, 30.0]]).T.reshape(1, 2, 1, 2)
    counted = frequencies(ab)
    assert counted.sum().item() == pytest.approx(2)
    assert CENTRES[counted.topk(2).indices].tolist() in ([[0, 0], [50, 30]], [[50, 30], [0, 0]])


def test_rare_classes_count_more_and_the_mean_pixel_counts_one():
    torch.manual_seed(0)
    share = torch.rand(CLASSES) ** 4
    share /= share.sum()
    weights = rebalanced(1000 * share)
    assert (share * weights).sum().item() == pytest.approx(1)  # Zhang et al. 2016, equation 4
    order = share.argsort()
    assert (weights[order].diff() <= 0).all()
    # w is in proportion to 1 / (p / 2 + 1 / 2Q)
    ratio = (share[0] / 2 + 0.5 / CLASSES) / (share[1] / 2 + 0.5 / CLASSES)
    torch.testing.assert_close(weights[1] / weights[0], ratio)


def test_a_pixel_weighs_as_much_as_its_nearest_class():
    torch.manual_seed(0)
    logits, weights = torch.randn(1, CLASSES, 1, 2), torch.rand(CLASSES)
    ab = torch.tensor([[0.0, 0.0], [50.0, 30.0]]).T.reshape(1, 2, 1, 2)
    each = [cross_entropy(logits[..., i : i + 1], ab[..., i : i + 1], torch.ones(CLASSES)) for i in range(2)]
    where = [int((CENTRES == torch.tensor(color)).all(1).nonzero()) for color in ([0.0, 0.0], [50.0, 30.0])]
    expected = sum(weights[w] * one for w, one in zip(where, each, strict=True)) / weights[where].sum()
    torch.testing.assert_close(cross_entropy(logits, ab, weights), expected)


def test_what_is_likely_is_freed_of_the_weights_that_a_head_was_trained_with():
    torch.manual_seed(0)
    truth, weights = torch.rand(1, CLASSES, 1, 1).softmax(1), torch.rand(CLASSES) + 0.1
    logits = torch.zeros(1, CLASSES, 1, 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-9)

    def step():
        optimizer.zero_grad()
        loss = -(truth * weights.view(1, -1, 1, 1) * logits.log_softmax(1)).sum()  # each class as often as it is true
        loss.backward()
        return loss

    optimizer.step(step)
    torch.testing.assert_close(likely(logits, weights), truth, rtol=1e-2, atol=1e-5)
