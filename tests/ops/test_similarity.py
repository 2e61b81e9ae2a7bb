"""Likeness of maps against loops, and against what a person would say."""

from math import exp, hypot

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.testing import assert_close

from sightline.ops.similarity import hog, pearson, ranks, spearman, ssim, stretched


def noise(rows: int, cols: int, seed: int = 0) -> Tensor:
    return torch.rand((1, rows, cols), generator=torch.Generator().manual_seed(seed))


def test_ranks_share_their_mean_where_values_are_equal() -> None:
    assert ranks(torch.tensor([[3.0, 1, 3, 0, 1, 1]])).tolist() == [[4.5, 2, 4.5, 0, 2, 2]]


def test_rank_correlation_is_that_of_scipy_ties_included() -> None:
    a, b = (noise(9, 7) * 5).round(), (noise(9, 7, 1) * 5).round() + noise(9, 7).round()
    expected = spearmanr(a.flatten().numpy(), b.flatten().numpy()).statistic
    assert_close(spearman(a, b), torch.tensor([float(expected)], dtype=torch.float64))


def test_a_map_is_like_itself_and_the_opposite_of_its_negative() -> None:
    a = noise(50, 60) - 0.5
    one = torch.ones(1, dtype=torch.float64)
    assert_close(spearman(a, a), one)
    assert_close(spearman(a, -a), -one)
    assert_close(spearman(a.abs(), (-a).abs()), one)
    assert_close(pearson(a, 3 * a + 2), one)
    assert_close(ssim(stretched(a), stretched(a)), one)
    assert_close(spearman(hog(a)[:, None], hog(a)[:, None]), one)


def test_a_constant_map_is_like_nothing() -> None:
    flat, a = torch.full((1, 8, 8), 0.3), noise(8, 8)
    assert pearson(flat, a).isnan().all() and spearman(flat, a).isnan().all()
    assert spearman(a, a * torch.nan).isnan().all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_does_not_matter(scale: float) -> None:
    a, b = noise(8, 8).double(), noise(8, 8, 3).double()
    assert_close(pearson(a * scale, b), pearson(a, b))
    assert_close(spearman(a * scale, b), spearman(a, b))


def by_loops(a: Tensor, b: Tensor) -> float:
    """Structural similarity as its paper writes it, a window at a time, covariances of a sample."""
    weights = [[exp(-(i * i + j * j) / 4.5) for j in range(-5, 6)] for i in range(-5, 6)]
    total = sum(map(sum, weights))
    found = []
    for r in range(5, a.shape[0] - 5):
        for c in range(5, a.shape[1] - 5):
            sums = [0.0] * 5
            for i in range(-5, 6):
                for j in range(-5, 6):
                    w = weights[i + 5][j + 5] / total
                    x, y = float(a[r + i, c + j]), float(b[r + i, c + j])
                    for k, value in enumerate((x, y, x * x, y * y, x * y)):
                        sums[k] += w * value
            x, y, xx, yy, xy = sums
            vx, vy, cov = (121 / 120 * v for v in (xx - x * x, yy - y * y, xy - x * y))
            top = (2 * x * y + 1e-4) * (2 * cov + 9e-4)
            found.append(top / ((x * x + y * y + 1e-4) * (vx + vy + 9e-4)))
    return sum(found) / len(found)


def test_structural_similarity_is_that_of_loops() -> None:
    a, b = noise(15, 17), noise(15, 17, 1)
    moved = stretched(0.5 * a + 0.5 * b)
    for other in (b, moved, (a + 0.2).clamp(max=1)):
        expected = by_loops(a[0], other[0])
        assert_close(ssim(a, other).item(), expected, atol=1e-6, rtol=0)


def hog_by_loops(heat: Tensor) -> list[float]:
    rows, cols = heat.shape
    cells = [[[0.0] * 9 for _ in range(cols // 16)] for _ in range(rows // 16)]
    for r in range(rows // 16 * 16):
        for c in range(cols // 16 * 16):
            down = float(heat[r + 1, c] - heat[r - 1, c]) if 0 < r < rows - 1 else 0.0
            right = float(heat[r, c + 1] - heat[r, c - 1]) if 0 < c < cols - 1 else 0.0
            angle = float(torch.atan2(torch.tensor(down), torch.tensor(right)).rad2deg() % 180)
            cells[r // 16][c // 16][min(int(angle // 20), 8)] += hypot(down, right) / 256
    found = []
    for r in range(len(cells) - 2):
        for c in range(len(cells[0]) - 2):
            block = [v for i in range(3) for j in range(3) for v in cells[r + i][c + j]]
            for limit in (0.2, 1.0):
                size = (sum(v * v for v in block) + 1e-10) ** 0.5
                block = [min(v / size, limit) for v in block]
            found += block
    return found


def test_gradient_histograms_are_those_of_loops() -> None:
    heat = noise(50, 66)
    assert_close(
        hog(heat)[0], torch.tensor(hog_by_loops(heat[0]), dtype=torch.float64), atol=1e-4, rtol=1e-3
    )


def test_gradient_histograms_see_direction() -> None:
    waves = torch.sin(torch.arange(96) / 3)[None, :, None].expand(1, 96, 96)
    waves = waves + 0.01 * noise(96, 96)
    turned = waves.transpose(1, 2)
    assert float(spearman(hog(waves)[:, None], hog(turned)[:, None])) < 0.5
    assert len(hog(noise(7, 7))[0]) == 81
