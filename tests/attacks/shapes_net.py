"""A network of a few weights, trained in seconds to tell four marks on noise of 16 x 16 pixels."""

from functools import cache

import torch
from torch import Tensor, nn

from sightline import Model, Preprocess

SIDE, MARK, CLASSES = 16, 5, 4


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures in [0, 1] and their classes: upright or lying stripes, a cross, a ring; anywhere."""
    dice = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = 0.35 + 0.15 * torch.rand((count, 3, SIDE, SIDE), generator=dice)
    at = torch.randint(0, SIDE - MARK + 1, (count, 2), generator=dice).tolist()
    for image, label, (row, col) in zip(images, labels.tolist(), at, strict=True):
        image[:, row : row + MARK, col : col + MARK] += 0.35 * _marks()[label]
    return images.clamp(0, 1), labels


def _marks() -> Tensor:
    marks = torch.zeros(CLASSES, MARK, MARK)
    marks[0, :, ::2] = 1
    marks[1, ::2, :] = 1
    marks[2, 2, :] = marks[2, :, 2] = 1
    marks[3] = 1
    marks[3, 1:-1, 1:-1] = 0
    return marks


class ShapesNet(nn.Module):
    """Two convolutions, their maps averaged over places, one linear layer: the head of CAM."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.maps = nn.ReLU()
        self.head = nn.Linear(32, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(self.second(torch.relu(self.first(images))))
        return self.head(maps.mean((2, 3)))


@cache
def trained() -> Model:
    """The model after 150 steps; the same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ShapesNet()
    stepper = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(150):
        images, labels = pictures(48, 1000 + step)
        loss = nn.functional.cross_entropy(net((images - 0.45) / 0.2), labels)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
    net.zero_grad(set_to_none=True)
    seen = Preprocess(size=(SIDE, SIDE), mean=(0.45,) * 3, std=(0.2,) * 3)
    return Model(net.eval(), seen)
