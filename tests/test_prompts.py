"""Prompt profiles: which text is for which question, and files that are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.prompts import PromptProfile, PromptText, dress, load_prompts, pick
from g2vlm_bench.sample import Inputs

PROFILE = PromptProfile(
    name="mine.official",
    source="here",
    option="({letter}) {text}",
    between=" ",
    system="Be {mood}.",
    max_new_tokens=7,
    texts=[
        PromptText(text="{images}{question} as a number", answer_type=["number"]),
        PromptText(text="{question} with {letters}: {options}", when={"kind": ["hard", "odd"]}),
        PromptText(text='{question} {"json": [x]}', answer_type=["choice"]),
    ],
)


def asked(**more: object) -> Inputs:
    given = {
        "id": "1",
        "question": "Where?",
        "choices": ("left", "right"),
        "answer_type": "choice",
        "fields": {"mood": "brief", "kind": "easy"},
        **more,
    }
    return Inputs(**given)  # type: ignore[arg-type]


def test_the_first_text_that_fits_is_the_prompt() -> None:
    images = (np.zeros((2, 2, 3), np.uint8),) * 2
    number = dress(PROFILE, asked(answer_type="number", images=images))
    assert number.prompt == "<image><image>Where? as a number"
    assert (number.system, number.max_new_tokens) == ("Be brief.", 7)
    hard = dress(PROFILE, asked(fields={"mood": "brief", "kind": "odd"}))
    assert hard.prompt == "Where? with A, B: (A) left (B) right"
    assert dress(PROFILE, asked()).prompt == 'Where? {"json": [x]}'


def test_what_is_put_in_is_not_read_again() -> None:
    assert dress(PROFILE, asked(question="{options}?")).prompt == '{options}? {"json": [x]}'


def test_questions_without_a_text_and_fields_that_are_missing() -> None:
    with pytest.raises(BenchError, match=r"prompt mine.official: expected a text for every"):
        dress(PROFILE, asked(answer_type="yes_no"))
    with pytest.raises(BenchError, match=r"no 'mood' for the placeholder of 'Be {mood}.'"):
        dress(PROFILE, asked(fields={}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: x\n", "expected 'profiles', each by its name"),
        ("profiles: {a: b}\n", "expected keys and values of a prompt, got str"),
        ("profiles: {a: {source: x, txts: []}}\n", "unknown key 'txts'. Did you mean 'texts'"),
        ("profiles: {a: {source: x}}\n", "missing required field `texts`"),
        ("profiles: {a: {source: x, texts: [{text: 1}]}}\n", "Expected `str`"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(BenchError) as caught:
        load_prompts(tmp_path / "p.yaml")
    assert says in str(caught.value)


@pytest.mark.parametrize("name", Plugins().names("prompts"))
def test_every_shipped_prompt_names_its_source(name: str) -> None:
    for profile, fields in load_prompts(Plugins().path("prompts", name)).items():
        assert fields["name"] == f"{name}.{profile}"
        assert fields["source"]
        assert profile.split("_")[0] in ("official", "lmms", "vlmevalkit")


def test_every_shipped_prompt_is_used_by_a_task() -> None:
    tasks = Plugins()
    used = {
        definition.options["prompt"]["name"].split(".")[0]
        for definition in map(tasks.task, tasks.names("task"))
        if definition.family == "spatial_qa" and "prompt" in definition.options
    }
    assert used == set(tasks.names("prompts"))


def test_a_user_s_prompts_are_found_beside_their_tasks(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/mine.yaml").write_text(
        "profiles: {short: {source: me, texts: [{text: '{question}'}]}}\n"
    )
    plugins = Plugins((tmp_path,))
    assert "mine" in plugins.names("prompts")
    prompts = load_prompts(plugins.path("prompts", "mine"))
    assert pick(prompts, "short", "here")["source"] == "me"
    with pytest.raises(BenchError, match=r"expected a prompt \(short\), got 'shirt'"):
        pick(prompts, "shirt", "here")
