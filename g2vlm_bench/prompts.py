"""Prompts as benchmarks and harnesses publish them, written out for one question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.data.layout import fill
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.sample import IMAGE_MARK, Inputs
from g2vlm_bench.yaml_files import convert, read_yaml

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class PromptText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text of a profile, and the questions it is for.

    Attributes:
        text: `{question}`, `{options}`, `{letters}` ("A, B, C"), `{images}` (a mark for each
            picture) and the sample's own fields have their values put in.
        answer_type: Kinds of answers it is for; all where it is empty.
        when: Field -> the values of the questions it is for.
    """

    text: str
    answer_type: list[str] = []
    when: dict[str, list[str]] = {}

    def fits(self, inputs: Inputs) -> bool:
        """Whether it is for this question."""
        if self.answer_type and inputs.answer_type not in self.answer_type:
            return False
        return all(inputs.fields.get(field) in values for field, values in self.when.items())


class PromptProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published prompt by its name.

    Attributes:
        name: `<benchmark>.<profile>`.
        source: Repository, commit and file that it is taken from.
        texts: The first that fits a question is its prompt.
        option: How an option is written.
        between: What stands between two options.
        system: The system prompt; its own fields may be put in.
        max_new_tokens: How many the benchmark lets a model answer with; None where it does not say.
        notes: Where it departs from what is published, and why.
    """

    name: str
    source: str
    texts: list[PromptText]
    option: str = "{letter}. {text}"
    between: str = "\n"
    system: str = ""
    max_new_tokens: int | None = None
    notes: str = ""


def dress(profile: PromptProfile, inputs: Inputs) -> Inputs:
    """Write the prompt of a question as a profile has it.

    Args:
        profile: The prompt.
        inputs: The question, its options and its fields.

    Raises:
        BenchError: The profile has no text for such a question, or names a field that it lacks.
    """
    text = next((one for one in profile.texts if one.fits(inputs)), None)
    if text is None:
        raise BenchError(
            f"prompt {profile.name}",
            expected="a text for every question",
            got=f"none for {inputs.answer_type} with {dict(inputs.fields)}",
        )
    options = (
        fill(profile.option, {"letter": letter, "text": option}, profile.name)
        for letter, option in zip(_LETTERS, inputs.choices, strict=False)
    )
    names = {
        **inputs.fields,
        "question": inputs.question or "",
        "options": profile.between.join(options),
        "letters": ", ".join(_LETTERS[: len(inputs.choices)]),
        "images": IMAGE_MARK * len(inputs.images),
    }
    where = f"prompt {profile.name}"
    return replace(
        inputs,
        prompt=fill(text.text, names, where),
        system=fill(profile.system, names, where),
        max_new_tokens=profile.max_new_tokens,
    )


def load_prompts(path: Path) -> dict[str, dict[str, Any]]:
    """Read a file of prompts: the fields of each profile, by its name.

    Raises:
        BenchError: The file is broken.
    """
    profiles = read_yaml(path).get("profiles")
    if not isinstance(profiles, dict) or not profiles:
        raise BenchError(path, expected="'profiles', each by its name", got=profiles)
    found = {
        str(name): {"name": f"{path.stem}.{name}", **_fields(fields, path)}
        for name, fields in profiles.items()
    }
    for fields in found.values():
        convert(fields, PromptProfile, path)
    return found


def pick(prompts: Mapping[str, dict[str, Any]], name: str, where: str) -> dict[str, Any]:
    """Take a profile of a file of prompts.

    Raises:
        BenchError: There is none of that name; the nearest is given.
    """
    if name not in prompts:
        raise BenchError(
            where,
            expected=f"a prompt ({', '.join(prompts)})",
            got=f"'{name}'",
            fix=nearest(name, prompts),
        )
    return prompts[name]


def _fields(fields: Any, path: Path) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise BenchError(path, expected="keys and values of a prompt", got=type(fields).__name__)
    return fields
