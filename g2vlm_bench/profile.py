"""Published protocols by name: what each is made of, what its code reports, its quirks."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.yaml_files import convert, read_yaml


class Reported(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What published code gives under a protocol.

    Attributes:
        metrics: By the family's names for them. A task that asks for others gets none under the
            protocol: no published number is theirs.
        file: Where the code of the profile's reference makes them.
    """

    metrics: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    file: str


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published protocol by its name, `tasks/profiles/<name>.yaml`: parts, metrics and quirks.

    A task names it as `{profile: moge}`, or one of its protocols as
    `{profile: moge, name: affine}`; the fields are written into the definition, so a run knows what
    the profile said when it ran.

    Attributes:
        name: The file's name; not a key in it.
        title: One line for lists.
        reference: Repository and commit of the code whose numbers it reproduces.
        quirks: What that code does besides the formula, each with its file.
        protocols: Family -> its protocols' fields, each with a `name` where there are several.
        reports: `<family>` or `<family>.<name>`, which may hold `*` -> what is reported there; the
            first that fits a protocol counts; where none does, it defines all metrics.
    """

    name: str
    title: str
    reference: str
    quirks: list[str]
    protocols: dict[str, list[dict[str, Any]]]
    reports: dict[str, Reported] = {}

    def __post_init__(self) -> None:
        """Refuse a report on a protocol that there is not."""
        labels = [
            (family, str(fields.get("name", "")))
            for family, protocols in self.protocols.items()
            for fields in protocols
        ]
        met = {self._report(*label) for label in labels}
        for pattern in self.reports:
            if pattern not in met:
                raise ValueError(f"expected reports on its protocols, got '{pattern}'")

    def reported(self, family: str, name: str) -> Reported | None:
        """What is reported under a protocol, `name` being empty for the only one of a family."""
        pattern = self._report(family, name)
        return None if pattern is None else self.reports[pattern]

    def _report(self, family: str, name: str) -> str | None:
        return next(
            (p for p in self.reports if p == family or fnmatchcase(f"{family}.{name}", p)), None
        )

    def expand(self, family: str, wanted: str | None, where: str) -> list[dict[str, Any]]:
        """Give the fields of this profile's protocols for a family, each with its label.

        Raises:
            BenchError: The profile says nothing of the family, or has no protocol of that name.
        """
        known = {str(fields.get("name", "")): fields for fields in self.protocols.get(family, [])}
        if wanted is not None and wanted in known:
            known = {wanted: known[wanted]}
        elif wanted is not None or not known:
            raise BenchError(
                f"{where}, profile '{self.name}'",
                expected=f"a protocol of the family '{family}'",
                got=f"'{wanted}'" if wanted is not None else "none",
                fix=nearest(wanted or family, known or self.protocols),
            )
        return [self._written_out(family, name, fields) for name, fields in known.items()]

    def _written_out(self, family: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        written = {key: value for key, value in fields.items() if key != "name"}
        written["profile"] = f"{self.name}.{name}" if name else self.name
        if reported := self.reported(family, name):
            written["metrics"] = list(reported.metrics)
        return written


def load_profile(path: Path) -> Profile:
    """Read a profile file; its name is the file's.

    Raises:
        BenchError: The file is broken or has an unknown key.
    """
    return convert({"name": path.stem, **read_yaml(path)}, Profile, path)
