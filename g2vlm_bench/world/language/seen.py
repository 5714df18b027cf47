"""What the cameras see of a scene, in the terms that questions are asked in, by margins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.language.phrases import BANDS_UNCLEAR, ORDINALS, Phrase
from g2vlm_bench.world.language.views import (
    body_share_framed,
    painted_colors,
    shows_face,
)
from g2vlm_bench.world.scene import MATERIALS, Body, Scene
from g2vlm_bench.world.sight import Sight

# A body is plain to see from this share of a picture on: 6 x 6 pixels of a 96 x 96 picture.
CLEAR_SHARE = 0.004
# And from this share of its own outline on.
CLEAR_VISIBILITY = 0.3
# What it is made like is plain from this share on, 14 x 14 pixels; whether it mirrors, on what is
# round every way alone: there a light shows wherever one looks from.
LOOKS_SHARE = 0.02
_MIRRORS = ("sphere", "torus")
_EVEN = frozenset(("matte", "shiny"))
# Left and right, nearer and farther: below these margins people would hesitate.
MIN_BEARING_DEG = 7.0
MIN_RATIO = 1.15
# One thing hides another where it covers this share of its outline; it does not below the other.
HIDES, HIDES_NOT = 0.12, 0.005
# Above or below what is it: within this share of the lower thing's half width.
ALIGNED = 0.6
# Of the box about a thing, this share must be in the frame for its middle or size to be judged.
MOSTLY_FRAMED = 0.85


class Seen:
    """A scene from one of its views, with what the other views show as well.

    Bodies stand in random order, so that taking the first few of them is a fair draw. In a moving
    scene everything is told of the one view's moment.

    Args:
        scene: The scene.
        sight: What its views show; as many views as are asked about.
        view: The view that is spoken of where only one is.
        rng: Source of the order.
        aspect: Width over height of the pictures.
    """

    def __init__(
        self,
        scene: Scene,
        sight: Sight,
        view: int,
        rng: np.random.Generator,
        aspect: float = 1.0,
    ) -> None:
        self.scene, self.sight, self.view, self.aspect = scene, sight, view, aspect
        self.visibility = np.nan_to_num(sight.visibility)
        self.views = len(sight.share)
        self.still, self.camera = scene.shot(view)
        self.is_moving = scene.frames > 1
        self.bodies = [self.still.bodies[i] for i in rng.permutation(len(self.still.bodies))]
        self.colors = list(dict.fromkeys(body.color for body in self.bodies))
        # From behind, a shelf is a box of its colour to anyone.
        self._boxlike_colors = {
            body.color
            for body in scene.bodies
            if body.kind == "shelf"
            and any(
                sight.share[v, body.id - 1] > 0 and not shows_face(body, scene.cameras[v])
                for v in range(self.views)
            )
        }
        self.clear_here = [body for body in self.bodies if self.is_clear(body, view)]
        together = [view] if self.is_moving else range(self.views)
        self.spoken_views = tuple(together)
        self.clear_any = [b for b in self.bodies if any(self.is_clear(b, v) for v in together)]
        centers = np.reshape([body.center_m for body in self.still.bodies], (-1, 3))
        self._points = self.camera.in_camera(centers)
        self.ground = "the ground" if scene.place.is_open else "the floor"

    @property
    def viewer(self) -> Phrase:
        """Who looks: `the camera`, of a picture where there are several."""
        camera = "the camera"
        return Phrase(camera if self.views == 1 else f"{camera} of {picture(self.view)}")

    @property
    def here(self) -> Phrase:
        """The picture spoken of."""
        return Phrase("the picture" if self.views == 1 else picture(self.view))

    @property
    def shown(self) -> Phrase:
        """All that is shown at the moment spoken of."""
        return self.here if self.views == 1 or self.is_moving else Phrase("the pictures")

    @property
    def scope(self) -> str:
        """Whether `shown` is one picture or several, for the balance."""
        return f"{min(len(self.spoken_views), 2)} pictures"

    def is_clear(self, body: Body, view: int) -> bool:
        """Whether a view shows enough of a body for a person to name it, on the side that tells.

        A box is not where a shelf of its colour is seen from behind: either could be meant.
        """
        share = self.sight.share[view, body.id - 1]
        whole = self.visibility[view, body.id - 1]
        return share >= CLEAR_SHARE and whole >= CLEAR_VISIBILITY and self.tells(body, view)

    def tells(self, body: Body, view: int) -> bool:
        """Whether a view looks at the side of a body that tells what it is.

        No view does so of a box where a shelf of its colour is seen from behind.
        """
        if body.kind == "box":
            return body.color not in self._boxlike_colors
        return shows_face(body, self.scene.cameras[view])

    def may_be(self, body: Body) -> frozenset[str]:
        """The materials that a body may be taken to be of, its own among them."""
        if body.kind in BANDS_UNCLEAR or self.share(body) < LOOKS_SHARE:
            return frozenset(MATERIALS)
        if body.material in _EVEN and body.kind not in _MIRRORS:
            return _EVEN
        return frozenset((body.material,))

    def moves(self, body: Body) -> bool:
        """Whether it goes from one place to another between the pictures."""
        return bool(self.scene.body(body.id).path_m)

    def of_kind(self, kind: str) -> Callable[[Body], bool]:
        """Whether a body is, or may be taken to be, of a kind: a shelf from behind looks a box."""
        return lambda body: (
            body.kind == kind
            or (kind == "box" and body.kind == "shelf" and body not in self.clear_any)
        )

    @cached_property
    def painted(self) -> frozenset[str]:
        """Colours of the doors and painted paths that the pictures show.

        Beside a red door, "the red object" could be the door.
        """
        return painted_colors(self.scene.place, self.scene.cameras[: self.views], self.aspect)

    def share(self, body: Body) -> float:
        """The largest share of a picture that a body fills, of the pictures spoken of."""
        return float(self.sight.share[list(self.spoken_views), body.id - 1].max())

    def together(self, *bodies: Body) -> bool:
        """Whether one of the pictures spoken of shows all of them clearly."""
        return any(all(self.is_clear(b, view) for b in bodies) for view in self.spoken_views)

    def fitting(self, fits: Callable[[Body], bool]) -> list[Body] | None:
        """The bodies that are shown and fit; None where one is shown but hardly."""
        shown = [body for body in self.bodies if fits(body) and self.share(body) > 0]
        return shown if all(body in self.clear_any for body in shown) else None

    def is_only(self, body: Body, fits: Callable[[Body], bool]) -> bool:
        """Whether it alone fits of all that any picture shows, at any moment.

        A question that names no picture is asked of all of them.
        """
        ever = [b for b in self.bodies if fits(b) and self.sight.share[:, b.id - 1].any()]
        return self.fitting(fits) == [body] and ever == [body]

    def depth_m(self, body: Body) -> float:
        """Depth of its centre before the camera."""
        return float(self._points[body.id - 1, 2])

    def bearing_deg(self, body: Body) -> float:
        """Angle of its centre to the right of where the camera looks."""
        x, _, z = self._points[body.id - 1]
        return math.degrees(math.atan2(x, z))

    def gap_m(self, body: Body) -> float:
        """Distance from the camera to its surface."""
        return float(body.distance_m(self.camera.position_m))

    def half_width_deg(self, body: Body) -> float:
        """Half of the angle that it fills."""
        return math.degrees(math.atan2(body.footprint_radius_m, self.depth_m(body)))

    def is_framed(self, body: Body) -> bool:
        """Whether the picture's frame holds all of its bounding box."""
        return body_share_framed(body, self.camera, self.aspect) > 1 - 1e-9

    def is_mostly_framed(self, body: Body, view: int) -> bool:
        """Whether a view shows it clearly and its frame holds most of its bounding box."""
        still, camera = self.scene.shot(view)
        share = body_share_framed(still.body(body.id), camera, self.aspect)
        return self.is_clear(body, view) and share >= MOSTLY_FRAMED

    @cached_property
    def measurable(self) -> list[Body]:
        """The clear bodies that one of the pictures spoken of holds mostly."""
        views = self.spoken_views
        return [b for b in self.clear_any if any(self.is_mostly_framed(b, v) for v in views)]

    def is_left(self, a: Body, b: Body) -> bool:
        """Whether a is left of b by the margin: by angle, and by a part of the bodies' widths."""
        if touch(a, b) or min(self.depth_m(a), self.depth_m(b)) <= 0:
            return False
        margin = max(MIN_BEARING_DEG, 0.5 * (self.half_width_deg(a) + self.half_width_deg(b)))
        return self.bearing_deg(b) - self.bearing_deg(a) >= margin

    def is_nearer(self, a: Body, b: Body) -> bool:
        """Whether a is nearer than b by the margin, in depth and in its nearest surface."""
        if touch(a, b) or self.depth_m(a) <= 0:
            return False
        deeper = self.depth_m(b) >= MIN_RATIO * self.depth_m(a)
        return deeper and self.gap_m(b) > self.gap_m(a)

    def hidden(self, body: Body, by: Body, view: int | None = None) -> float:
        """Share of a body's outline in the picture that another hides."""
        view = self.view if view is None else view
        outline = float(self.sight.amodal_share[view, body.id - 1])
        return float(self.sight.hidden_by[view, by.id - 1, body.id - 1]) / max(outline, 1e-9)

    def kindless(self, body: Body) -> Phrase | None:
        """A name that does not betray its kind, such as `red object`; None where others fit it.

        Doors and painted paths fit it, too.

        Sizes are asked with it: a table's would be guessed from its noun. It is always its colour:
        were a material said where colours repeat, that would tell a full place from an empty one,
        and so a room from a road.
        """
        alone = self.is_only(body, lambda other: other.color == body.color)
        if not alone or body.color in self.painted:
            return None
        return Phrase(f"{body.color} object", (body.id,))

    def above(self, body: Body) -> list[Body]:
        """All that would fall if it were taken away."""
        return [b for b in self.bodies if b is not body and body.id in self.below(b)]

    def below(self, body: Body) -> list[int]:
        """Ids of what it stands on, of what that stands on, and so on."""
        chain = []
        while body.support:
            chain.append(body.support)
            body = self.still.body(body.support)
        return chain

    def floor_gap_m(self, a: Body, b: Body) -> float:
        """Gap between the circles that hold two bodies' footprints."""
        between = math.dist(a.base_m[:2], b.base_m[:2])
        return between - a.footprint_radius_m - b.footprint_radius_m

    def is_above(self, a: Body, b: Body) -> bool:
        """Whether a is straight above b: higher than all of it, over the middle of it."""
        over = math.dist(a.base_m[:2], b.base_m[:2])
        return a.base_m[2] >= b.top_m - 1e-3 and over <= ALIGNED * min(b.extent_m[:2]) / 2

    def from_own_front(self, a: Body, owner: Body) -> tuple[float, float]:
        """Where a is from an owner's own point of view: metres to its front, metres to its left."""
        front, left, _ = owner.in_own_frame(a.center_m)
        return float(front), float(left)


def picture(view: int) -> str:
    """The name of a view in words."""
    return f"the {ORDINALS[view]} picture"


def touch(a: Body, b: Body) -> bool:
    """Whether one stands on the other; then people say on or under, not left of or in front of."""
    return a.support == b.id or b.support == a.id


def largest_m(body: Body) -> float:
    """Largest extent."""
    return max(body.extent_m)


def which_is_larger(a: Body, b: Body) -> str:
    """Which of two is the larger, in words for the balance: a shortcut to many an answer."""
    larger = ratio(largest_m(a), largest_m(b))
    return "first larger" if larger > 1.1 else "second larger" if larger < 1 / 1.1 else "alike"


def volume_m3(body: Body) -> float:
    """Volume of its bounding box."""
    return math.prod(body.extent_m)


def ratio(larger: float, smaller: float) -> float:
    """How many times one positive number is the other."""
    return larger / smaller if smaller > 0 else math.inf


def stands_out(bodies: Sequence[Body], values: NDArray[np.float64], by: float) -> Body | None:
    """The body whose value is the smallest by a ratio, if there is one."""
    order = np.argsort(values)
    first, second = values[order[0]], values[order[1]]
    return bodies[order[0]] if first > 0 and second / first >= by else None
