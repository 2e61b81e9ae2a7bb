"""Where the parts of a bird lie.

Outlines are in units of its body length; the bird faces right, y goes down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, hypot, radians, sin

import numpy as np

from ._canvas import CanvasFrame, Shape, smooth

BODY = np.array([
    (0.47, -0.04), (0.42, 0.16), (0.22, 0.29), (-0.08, 0.295), (-0.33, 0.18), (-0.52, 0.03),
    (-0.54, -0.10), (-0.30, -0.24), (0.0, -0.32), (0.28, -0.30), (0.42, -0.20),
])  # fmt: skip
HEAD = np.array([
    (0.25, 0.0), (0.205, -0.14), (0.06, -0.235), (-0.11, -0.215), (-0.23, -0.09), (-0.24, 0.08),
    (-0.13, 0.215), (0.06, 0.23), (0.20, 0.13),
])  # fmt: skip
BACK = np.array([
    (0.34, -0.72), (0.26, -0.30), (0.12, -0.13), (-0.2, -0.05), (-0.56, -0.02), (-0.8, -0.3),
    (-0.2, -0.6),
])  # fmt: skip
BREAST = np.array([
    (0.62, -0.36), (0.64, 0.10), (0.36, 0.40), (0.08, 0.30), (0.08, 0.05), (0.20, -0.12),
    (0.30, -0.40),
])  # fmt: skip
CROWN = np.array([
    (0.27, -0.045), (0.10, -0.085), (-0.08, -0.06), (-0.22, 0.10), (-0.36, 0.04), (-0.3, -0.3),
    (0.0, -0.4),
    (0.3, -0.25),
])  # fmt: skip
WING = np.array([
    (0.31, -0.06), (0.24, -0.20), (0.02, -0.265), (-0.28, -0.22), (-0.56, -0.11), (-0.78, 0.02),
    (-0.52, 0.06), (-0.28, 0.12), (0.0, 0.175), (0.22, 0.12),
])  # fmt: skip
COVERTS = np.array([
    (0.31, -0.06), (0.24, -0.20), (0.02, -0.265), (-0.14, -0.22), (-0.17, -0.06), (-0.12, 0.10),
    (0.0, 0.165), (0.22, 0.12),
])  # fmt: skip
BILLS = {
    "cone": ([(0.0, -0.085), (0.10, -0.06), (0.185, 0.02), (0.09, 0.07), (0.0, 0.08)], (0, 2, 4),
        0.02),
    "thin": ([(0.0, -0.035), (0.12, -0.022), (0.235, 0.012), (0.12, 0.03),
        (0.0, 0.04)], (0, 2, 4), 0.008),
    "hooked": (
        [(0.0, -0.075), (0.13, -0.07), (0.225, -0.01), (0.215, 0.075), (0.17, 0.03),
            (0.08, 0.05), (0.0, 0.06)],
        (0, 3, 4, 6),
        0.015,
    ),
    "curved": (
        [(0.0, -0.05), (0.18, -0.05), (0.33, 0.03), (0.41, 0.19), (0.30, 0.075), (0.16, 0.015),
            (0.0, 0.05)],
        (0, 3, 6),
        0.0,
    ),
    "dagger": ([(0.0, -0.06), (0.2, -0.035), (0.43, 0.015), (0.2, 0.045),
        (0.0, 0.06)], (0, 2, 4), 0.005),
}  # fmt: skip


@dataclass(frozen=True)
class Coat:
    """Where small feathers show and how they lie; angle in radians, clockwise from the right."""

    across: tuple[float, float]
    down: tuple[float, float]
    count: int
    angle: float


COATS = {
    "belly": Coat((-0.4, 0.3), (0.0, 0.27), 34, 2.7),
    "breast": Coat((0.16, 0.44), (-0.14, 0.24), 24, 2.4),
    "back": Coat((-0.5, 0.15), (-0.30, -0.10), 26, 2.9),
    "crown": Coat((-0.2, 0.15), (-0.22, -0.08), 16, 2.8),
    "face": Coat((-0.18, 0.16), (0.04, 0.19), 18, 2.4),
}


@dataclass(frozen=True)
class Pose:
    """How the bird sits. Angles in degrees; place and scale in units of the picture."""

    left: bool
    centre: tuple[float, float]  # (row, col) of the body's centre
    unit: float  # body length
    tilt: float  # head up
    pitch: float  # bill down
    turn: float  # 1 in profile, less towards us
    back_look: bool
    wing: float  # drooped below 0
    tail: float  # cocked above 0
    plump: float


@dataclass(frozen=True)
class BirdAnatomy:
    """Where the frames of a pose lie on a canvas."""

    ground: CanvasFrame
    body: CanvasFrame
    head: CanvasFrame
    wing: CanvasFrame
    tail: CanvasFrame
    feet: tuple[tuple[float, float], tuple[float, float]]  # (x, y) in `ground`


def anatomy(pose: Pose, page: CanvasFrame) -> BirdAnatomy:
    row, col = pose.centre
    ground = page.place((col, row), scale=pose.unit, flip=pose.left)
    body = ground.place((0, 0), angle=-radians(pose.tilt)).squeeze(1.0, pose.plump)
    c, s = cos(radians(pose.tilt)), -sin(radians(pose.tilt))
    x, y = 0.31, -0.27 * pose.plump
    neck = (x * c - y * s, x * s + y * c - 0.10)
    head = ground.place(neck, angle=radians(pose.pitch))
    if pose.back_look:
        head = ground.place((neck[0] - 0.03, neck[1]), angle=radians(-pose.pitch), flip=True)
    wing = body.place((0.27, -0.075), angle=radians(pose.wing)).place((-0.28, 0.1))
    tail = body.place((-0.46, -0.04), angle=radians(pose.tail))
    foot = 0.27 * pose.plump * c + 0.17
    return BirdAnatomy(ground, body, head, wing, tail, ((0.10, foot), (-0.05, foot + 0.015)))


def silhouette(frames: BirdAnatomy, plump: float) -> Shape:
    """Torso, neck and head as one path in pixels."""
    torso, head = smooth(frames.body.map(BODY)), smooth(frames.head.map(HEAD))
    first, second = frames.head.map([(-0.01, 0.0)])[0], frames.body.map([(0.20, -0.04)])[0]
    unit = frames.ground.unit
    neck = smooth(_capsule(first, 0.228 * unit, second, 0.25 * plump * unit), range(4))
    paths = [_clockwise(shape) for shape in (torso, neck, head)]
    vertices = np.concatenate([vertices for vertices, _ in paths])
    return vertices, np.concatenate([codes for _, codes in paths])


def _capsule(first: np.ndarray, near: float, second: np.ndarray, far: float) -> np.ndarray:
    """The four corners where two circles' outer tangents touch them."""
    along = second - first
    distance = max(hypot(*along), abs(near - far) + 1e-6)
    along = along / distance
    across = np.array([-along[1], along[0]])
    lean = (near - far) / distance
    side = (1 - lean * lean) ** 0.5
    left, right = along * lean + across * side, along * lean - across * side
    return np.array(
        [first + near * left, second + far * left, second + far * right, first + near * right]
    )


def _clockwise(shape: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All pieces of a union must turn alike, or the winding rule cuts holes."""
    x, y = shape[0][:, 0], shape[0][:, 1]
    area = np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])
    if area >= 0:
        return shape
    vertices = shape[0][::-1].copy()
    vertices = np.concatenate([vertices[1:], vertices[-1:]])
    return vertices, shape[1]


def keypoints(frames: BirdAnatomy, turn: float, traits: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The middle of each part, (x, y) in pixels, also of parts that the bird lacks."""
    bill = {"cone": 0.08, "thin": 0.10, "hooked": 0.10, "curved": 0.19, "dagger": 0.18}
    tail = {"short": -0.26, "long": -0.5, "forked": -0.4, "fan": -0.36}
    eye = (0.085 * turn + 0.005, -0.035)
    places = {
        "bill": (frames.head, (0.215 + bill[traits["bill"]] * turn, 0.01)),
        "crest": (frames.head, (-0.18, -0.30)),
        "crown": (frames.head, (0.0, -0.16)),
        "face": (frames.head, (0.02, 0.09)),
        "eye": (frames.head, eye),
        "eye-ring": (frames.head, eye),
        "breast": (frames.body, (0.36, 0.02)),
        "belly": (frames.body, (0.05, 0.22)),
        "back": (frames.body, (0.08, -0.27)),
        "wing": (frames.wing, (-0.05, -0.05)),
        "wing-bars": (frames.wing, (-0.14, -0.03)),
        "tail": (frames.tail, (tail[traits["tail"]], 0.0)),
        "legs": (frames.ground, np.mean(frames.feet, 0)),
    }
    return {part: frame.map([place])[0] for part, (frame, place) in places.items()}
