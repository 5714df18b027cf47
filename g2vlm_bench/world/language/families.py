"""The families of question by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from g2vlm_bench.world.candidates import Candidate
from g2vlm_bench.world.language import (
    between_views,
    comparing,
    contacts,
    counting,
    directions,
    measures,
    motion,
)
from g2vlm_bench.world.language.seen import Seen

FAMILIES: Mapping[str, Callable[[Seen], Iterator[Candidate]]] = {
    "direction": directions.direction,
    "own_direction": directions.own_direction,
    "reference": directions.reference,
    "support": contacts.support,
    "containment": contacts.containment,
    "occlusion": contacts.occlusion,
    "stability": contacts.stability,
    "counting": counting.counting,
    "existence": counting.existence,
    "attribute": counting.attribute,
    "comparison": comparing.comparison,
    "order": comparing.order,
    "distance": measures.distance,
    "depth": measures.depth,
    "height": measures.height,
    "size": measures.size,
    "room_size": measures.room_size,
    "camera_motion": between_views.camera_motion,
    "view_change": between_views.view_change,
    "correspondence": between_views.correspondence,
    "trajectory": motion.trajectory,
    "route": motion.route,
}
# Families that speak of a picture and the next one.
BETWEEN_VIEWS = ("camera_motion", "view_change", "correspondence")
