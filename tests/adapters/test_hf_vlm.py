"""hf_vlm against transformers called by hand, on a tiny checkpoint of several families."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.plugins import Plugins, load_module, shipped
from g2vlm_bench.runner import Model, Options, Task, run
from g2vlm_bench.sample import IMAGE_MARK, Drawing, Inputs, Turn, Want

HfVlm = load_module(shipped("model_adapters") / "hf_vlm.py").HfVlm
import_torchvision()
tiny = load_module(Path(__file__).with_name("tiny_vlms.py"))

BOTH = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})
# In float32, padding moves the last digits only; a wrong position or mask moves them by tenths.
TOLERANCE = 2e-4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = tiny.save(family, tmp_path_factory.mktemp(family))
        return made[family]

    return make


@pytest.fixture(scope="module")
def load(checkpoint: Callable[[str], Path]) -> Callable[..., Any]:
    made: dict[tuple[Any, ...], Any] = {}

    def make(family: str = "llava_onevision", **arguments: Any) -> Any:
        key = (family, *sorted(arguments.items()))
        if key not in made:
            arguments = {"max_new_tokens": 8, "device": "cpu"} | arguments
            made[key] = HfVlm(checkpoint=str(checkpoint(family)), **arguments)
        return made[key]

    return make


def ask(
    name: str = "a",
    prompt: str = "Which object is nearer to the camera?",
    images: int = 1,
    choices: tuple[str, ...] = ("the table", "the chair", "a lamp"),
    size: tuple[int, int] = (40, 60),
    **more: Any,
) -> Inputs:
    rng = np.random.default_rng(sum(map(ord, name)))
    pictures = tuple(rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(images))
    return Inputs(id=name, images=pictures, prompt=prompt, choices=choices, **more)


def by_hand(family_folder: Path, messages: list[dict[str, Any]], images: list[Any]) -> Any:
    """Processor and model as their documentation says, one conversation at a time."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(family_folder)
    model = AutoModelForImageTextToText.from_pretrained(family_folder).eval()
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    more = {"images": [images]} if images else {}
    inputs = processor(text=[text], return_tensors="pt", **more)
    length = inputs["input_ids"].shape[1]
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    answer = processor.batch_decode(out[:, length:], skip_special_tokens=True)[0]

    def loglikelihood(option: str) -> float:
        longer = processor(text=[text + option], return_tensors="pt", **more)
        with torch.inference_mode():
            logs = model(**longer).logits.float().log_softmax(-1)[0]
        ids = longer["input_ids"][0]
        steps = (logs[i - 1, ids[i]].item() for i in range(length, len(ids)))
        return float(sum(steps))

    return answer, loglikelihood


@pytest.mark.parametrize("images", [0, 1, 3])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_what_the_library_gives_by_hand(
    family: str, images: int, load: Callable[..., Any], checkpoint: Callable[[str], Path]
) -> None:
    inputs = ask(images=images)
    (got,) = load(family).predict([inputs], BOTH)
    parts = [{"type": "image"}] * images + [{"type": "text", "text": inputs.prompt}]
    answer, loglikelihood = by_hand(
        checkpoint(family), [{"role": "user", "content": parts}], list(inputs.images)
    )
    assert got.answer == answer != ""
    expected = [loglikelihood(choice) for choice in inputs.choices]
    np.testing.assert_allclose(got.choice_loglikelihoods, expected, atol=TOLERANCE)
    assert (got.choice_loglikelihoods < 0).all()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_batches_change_nothing(family: str, load: Callable[..., Any]) -> None:
    """Other lengths of prompts, options, pictures and numbers of pictures beside it."""
    batch = [
        ask("a", "Where?", 1, ("left", "right")),
        ask("b", "How many chairs are there in all of these frames of a video? " * 3, 1),
        ask("c", "Is the sofa left of the lamp?", 1, ("yes", "no"), size=(90, 30)),
        ask("d", "Which?", 2, ("A", "B", "C"), size=(30, 64)),
        ask("e", "A number, please.", 0, ()),
        ask("f", "Which of them?", 2, ("A", "none of them, for they are alike")),
    ]
    together = load(family).predict(batch, BOTH)
    for inputs, among in zip(batch, together, strict=True):
        (alone,) = load(family).predict([inputs], BOTH)
        assert among.answer == alone.answer
        np.testing.assert_allclose(
            among.choice_loglikelihoods, alone.choice_loglikelihoods, atol=TOLERANCE
        )
        assert (among.choice_is_greedy == alone.choice_is_greedy).all()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_pictures_matter_and_so_does_their_order(family: str, load: Callable[..., Any]) -> None:
    inputs = ask(images=2)
    seen, turned, blind = load(family).predict(
        [inputs, replace(inputs, images=inputs.images[::-1]), replace(inputs, images=())],
        frozenset({Want.CHOICE_LOGLIKELIHOODS}),
    )
    assert abs(seen.choice_loglikelihoods - turned.choice_loglikelihoods).max() > 1e-3
    assert abs(seen.choice_loglikelihoods - blind.choice_loglikelihoods).max() > 1e-3
    assert seen.answer is None


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_images_stand_at_their_marks(
    family: str, load: Callable[..., Any], checkpoint: Callable[[str], Path]
) -> None:
    inputs = ask(prompt=f"In {IMAGE_MARK} and then {IMAGE_MARK}, what moved?", images=2)
    (got,) = load(family).predict([inputs], BOTH)
    parts = [
        {"type": "text", "text": "In "},
        {"type": "image"},
        {"type": "text", "text": " and then "},
        {"type": "image"},
        {"type": "text", "text": ", what moved?"},
    ]
    answer, loglikelihood = by_hand(
        checkpoint(family), [{"role": "user", "content": parts}], list(inputs.images)
    )
    assert got.answer == answer
    assert got.choice_loglikelihoods[0] == pytest.approx(loglikelihood("the table"), abs=TOLERANCE)


def test_marks_that_are_not_as_many_as_the_images(load: Callable[..., Any]) -> None:
    wrong, right, blind = load().predict(
        [
            ask("a", f"{IMAGE_MARK} or {IMAGE_MARK}?", 1),
            ask("b", f"{IMAGE_MARK} or {IMAGE_MARK}?", 2),
            ask("c", f"{IMAGE_MARK} or {IMAGE_MARK}?", 0),
        ],
        BOTH,
    )
    assert isinstance(wrong, ValueError)
    assert str(wrong) == "expected 2 images, one a mark, got 1"
    assert right.answer
    assert blind.answer


def test_earlier_turns_and_a_system(
    load: Callable[..., Any], checkpoint: Callable[[str], Path]
) -> None:
    last = ask("b", "And now?", 1)
    first, second = ask("a", images=2), ask("c", images=1)
    inputs = replace(
        last,
        system="You see a room.",
        earlier=(
            Turn(prompt="What is it?", images=first.images, answer="a sofa"),
            Turn(prompt="Look here, too.", images=second.images),
        ),
    )
    (got,) = load().predict([inputs], BOTH)
    text = {"type": "text"}
    messages = [
        {"role": "system", "content": [text | {"text": "You see a room."}]},
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "image"}, text | {"text": "What is it?"}],
        },
        {"role": "assistant", "content": [text | {"text": "a sofa"}]},
        {
            "role": "user",
            "content": [
                {"type": "image"},
                text | {"text": "Look here, too."},
                {"type": "image"},
                text | {"text": "And now?"},
            ],
        },
    ]
    images = [*first.images, *second.images, *last.images]
    answer, loglikelihood = by_hand(checkpoint("llava_onevision"), messages, images)
    assert got.answer == answer
    assert got.choice_loglikelihoods[1] == pytest.approx(loglikelihood("the chair"), abs=TOLERANCE)


def test_continuations_are_weighed_in_place_of_the_options(load: Callable[..., Any]) -> None:
    inputs = ask(choices=("left", "right"))
    letters, words = load().predict(
        [replace(inputs, continuations=("A", "B")), replace(inputs, choices=("A", "B"))], BOTH
    )
    np.testing.assert_allclose(
        letters.choice_loglikelihoods, words.choice_loglikelihoods, atol=TOLERANCE
    )


def test_one_pass_for_options_of_one_token(load: Callable[..., Any]) -> None:
    adapter, rows = load(), []
    forward = adapter._model.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        rows.append(len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    adapter._model.forward = counted
    try:
        adapter.predict(
            [ask(choices=("A", "B", "C", "D"))], frozenset({Want.CHOICE_LOGLIKELIHOODS})
        )
        assert rows == [1]
        adapter.predict([ask("b", choices=("A", "the"))], frozenset({Want.CHOICE_LOGLIKELIHOODS}))
    finally:
        adapter._model.forward = forward


def test_greedy_options_are_what_the_model_says(load: Callable[..., Any]) -> None:
    adapter = load(max_new_tokens=1)
    batch = [ask(prompt=f"Left or right of number {n}?", choices=()) for n in range(12)]
    said = [prediction.answer for prediction in adapter.predict(batch, frozenset({Want.ANSWER}))]
    # A random model also says bytes that are no text, which no option can be.
    usable = [i for i, text in enumerate(said) if text.isascii() and text.strip()]
    assert usable
    offered = [replace(batch[i], choices=(said[i], f"{said[i]} x", "sofa")) for i in usable]
    for got in adapter.predict(offered, BOTH):
        assert got.choice_is_greedy.tolist()[::2] == [True, False]


def test_answers_end_where_they_are_told_to(load: Callable[..., Any]) -> None:
    adapter = load()
    inputs = ask(prompt="Say something.", choices=())
    (whole,) = adapter.predict([inputs], BOTH)
    middle = whole.answer[len(whole.answer) // 2]
    (short,) = adapter.predict([replace(inputs, stop=(middle,))], BOTH)
    assert short.answer == whole.answer.partition(middle)[0]
    assert whole.choice_loglikelihoods.shape == (0,)


def test_the_benchmark_says_how_long_an_answer_may_be(
    checkpoint: Callable[[str], Path], load: Callable[..., Any]
) -> None:
    free = HfVlm(checkpoint=str(checkpoint("llava_onevision")), device="cpu")
    (short,) = free.predict([ask(max_new_tokens=2)], frozenset({Want.ANSWER}))
    (eight,) = load().predict([ask(max_new_tokens=2)], frozenset({Want.ANSWER}))
    assert eight.answer.startswith(short.answer)
    assert len(short.answer) < len(eight.answer)


def test_sampling_is_seeded_by_the_sample(load: Callable[..., Any]) -> None:
    adapter = load(temperature=1.5)
    batch = [ask("a"), ask("b"), ask("c")]
    first = [p.answer for p in adapter.predict(batch, frozenset({Want.ANSWER}))]
    again = [p.answer for p in adapter.predict(batch[::-1], frozenset({Want.ANSWER}))][::-1]
    other = load(temperature=1.5, seed=1).predict(batch, frozenset({Want.ANSWER}))
    assert first == again
    assert first != [p.answer for p in other]


def test_several_answers_are_drawn_as_the_task_says(load: Callable[..., Any]) -> None:
    """11 of one token: more than are drawn at once, and as likely as the model has them."""
    import torch

    drawing = Drawing(temperature=0.5, top_k=3, answers=11)
    inputs = ask(images=0, choices=(), drawing=drawing, max_new_tokens=1)
    adapter = load(chat=False, max_new_tokens=None)
    (got,) = adapter.predict([inputs], frozenset({Want.ANSWER}))
    (among, _) = adapter.predict([inputs, ask("b")], frozenset({Want.ANSWER}))
    assert got.drawn == among.drawn
    assert (len(got.drawn), got.answer) == (11, got.drawn[0])
    ids = adapter._tokenizer([inputs.prompt], return_tensors="pt")
    with torch.inference_mode():
        logits = adapter._model(**ids).logits[0, -1]
    likeliest = logits.topk(3)
    decode = adapter._tokenizer.decode
    chances = {
        decode([token], skip_special_tokens=True): float(chance)
        for token, chance in zip(
            likeliest.indices, (likeliest.values / 0.5).softmax(-1), strict=True
        )
    }
    assert max(chances.values()) < 0.99
    many = replace(inputs, drawing=replace(drawing, answers=400))
    (said,) = adapter.predict([many], frozenset({Want.ANSWER}))
    for text, chance in chances.items():
        # Five standard deviations of a share of 400.
        margin = 5 * (chance * (1 - chance) / 400) ** 0.5 + 1e-6
        assert said.drawn.count(text) / 400 == pytest.approx(chance, abs=margin)


def test_greedy_by_order_of_the_user(load: Callable[..., Any]) -> None:
    inputs = ask(drawing=Drawing(temperature=1.0, answers=3))
    (got,) = load(temperature=0.0).predict([inputs], frozenset({Want.ANSWER}))
    (greedy,) = load().predict([ask()], frozenset({Want.ANSWER}))
    assert (got.answer, got.drawn) == (greedy.answer, ())


def test_options_behind_contexts_of_their_own(load: Callable[..., Any]) -> None:
    """Each is weighed as if its context were the prompt, an empty one, too."""
    contexts = ("The box is near", "", "The box is near", "Here is a lamp; it is near")
    texts = (" the door", " the door", " a chair", " the door")
    inputs = ask(prompt=contexts[0], images=0, choices=texts, contexts=contexts)
    adapter = load(chat=False)
    wants = frozenset({Want.CONTEXT_LOGLIKELIHOODS})
    (got, other) = adapter.predict([inputs, ask("b", images=0)], wants)
    for index, (context, text) in enumerate(zip(contexts, texts, strict=True)):
        alone = ask(prompt=context, images=0, choices=(text,))
        (expected,) = adapter.predict([alone], frozenset({Want.CHOICE_LOGLIKELIHOODS}))
        assert got.choice_loglikelihoods[index] == pytest.approx(
            expected.choice_loglikelihoods[0], abs=TOLERANCE
        )
        assert got.choice_is_greedy[index] == expected.choice_is_greedy[0]
    assert len(other.choice_loglikelihoods) == 3


def test_without_a_chat_the_option_follows_the_bare_prompt(
    load: Callable[..., Any], checkpoint: Callable[[str], Path]
) -> None:
    """White space behind the prompt goes to the options, as lm-eval has it."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    folder = checkpoint("llava_onevision")
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    (got,) = load(chat=False).predict(
        [ask(prompt="Where is the sofa? ", images=0, choices=("left", "in front of it"))], BOTH
    )
    for option, value in zip(("left", "in front of it"), got.choice_loglikelihoods, strict=True):
        ids = words(f"Where is the sofa? {option}", return_tensors="pt")["input_ids"][0]
        before = len(words("Where is the sofa?")["input_ids"])
        with torch.inference_mode():
            logs = model(input_ids=ids[None]).logits.float().log_softmax(-1)[0]
        expected = sum(logs[i - 1, ids[i]].item() for i in range(before, len(ids)))
        assert value == pytest.approx(expected, abs=TOLERANCE)


def test_an_empty_prompt_is_conditioned_on_the_token_that_begins_a_text(
    load: Callable[..., Any],
) -> None:
    (got,) = load(chat=False).predict([ask(prompt="", images=0, choices=("yes no",))], BOTH)
    assert np.isfinite(got.choice_loglikelihoods).all()


def test_a_token_that_begins_a_text_stands_once(tmp_path: Path) -> None:
    adapter = HfVlm(checkpoint=str(tiny.save("llava_onevision", tmp_path, bos=True)), chat=False)
    begin = adapter._tokenizer.bos_token_id
    for prompt in ("Where?", f"{adapter._tokenizer.bos_token}Where?"):
        asked = adapter._put(ask(prompt=prompt, images=0))
        assert adapter._encode([asked])["input_ids"][0].tolist().count(begin) == 1


def test_bfloat16_is_near(load: Callable[..., Any]) -> None:
    exact = load().predict([ask()], BOTH)[0].choice_loglikelihoods
    rough = load(dtype="bfloat16").predict([ask()], BOTH)[0].choice_loglikelihoods
    assert rough.dtype == np.float64
    np.testing.assert_allclose(rough, exact, rtol=0.1)
    assert abs(rough - exact).max() > 0


def test_no_prompt(load: Callable[..., Any]) -> None:
    one, other = load().predict([Inputs(id="a"), ask()], BOTH)
    assert str(one) == "expected a prompt, got none"
    assert other.answer


def test_a_prompt_longer_than_the_model_can_read(load: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"expected 4096 tokens at most, images included, got \d+"):
        load().predict([ask(prompt="chair " * 5000)], BOTH)


def test_an_option_that_leads_beyond_what_the_model_can_read(load: Callable[..., Any]) -> None:
    """Beyond it nothing was learnt: the numbers would be wrong without a word."""
    asked = ask(prompt="chair", choices=("a table", "chair " * 5000))
    with pytest.raises(ValueError, match=r"expected 4096 tokens at most, images included, got \d+"):
        load().predict([asked], frozenset({Want.CHOICE_LOGLIKELIHOODS}))


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("longest", [1, 7, 11, 40])
def test_a_text_longer_than_the_model_is_weighed_in_windows(
    family: str, longest: int, load: Callable[..., Any], checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Windows are lm-eval's, from its own function; a text of another length is beside it."""
    utils = pytest.importorskip("lm_eval.utils")
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    tokenizer = AutoProcessor.from_pretrained(checkpoint(family)).tokenizer
    model = AutoModelForImageTextToText.from_pretrained(checkpoint(family)).eval()
    begin = tokenizer.bos_token_id
    begin = tokenizer.eos_token_id if begin is None else begin

    def by_hand(text: str) -> float:
        ids = tokenizer.encode(text, add_special_tokens=False)
        total = 0.0
        for before, weighed in utils.get_rolling_token_windows(ids, begin, longest, 1):
            with torch.inference_mode():
                logs = model(input_ids=torch.tensor([before])).logits[0].float().log_softmax(-1)
            rows = logs[-len(weighed) :]
            total += sum(float(row[token]) for row, token in zip(rows, weighed, strict=True))
        return total

    adapter = load(family, chat=False)
    monkeypatch.setattr(adapter, "_longest", longest)
    texts = ["The chair stands left of the table, and the lamp behind it.", "chair"]
    asked = [Inputs(id=text, prompt="", continuations=(text,)) for text in texts]
    for text, said in zip(texts, adapter.predict(asked, BOTH - {Want.ANSWER}), strict=True):
        assert said.choice_loglikelihoods[0] == pytest.approx(by_hand(text), rel=1e-5)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "expected a processor"),
        (lambda f: (f / "processor_config.json").write_text("{"), "expected a processor"),
        (lambda f: (f / "chat_template.jinja").unlink(), "chat template, got none. .*chat=false"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x"), "weights that fit config.json"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "got pytorch_model.bin. Convert it where you trust it.*AutoModelForImageTextToText",
        ),
        (
            lambda f: (f / "config.json").write_text(json.dumps({"model_type": "glpn"})),
            "expected an image-text-to-text model, .* got 'glpn'",
        ),
    ],
)
def test_damaged_checkpoints(
    damage: Callable[[Path], Any], complaint: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(checkpoint("llava_onevision"), tmp_path / "copy"))
    damage(copy)
    with pytest.raises(BenchError, match=complaint) as caught:
        HfVlm(checkpoint=str(copy), device="cpu")
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"checkpoint": "nowhere"}, "checkpoint 'nowhere': expected a folder, or a hub id"),
        ({"dtype": "float64"}, "hf_vlm argument 'dtype'"),
        ({"max_new_tokens": 0}, "argument 'max_new_tokens': expected 1 or more, got 0"),
        ({"temperature": -1.0}, "argument 'temperature': expected 0 or more"),
        ({"temprature": 1.0}, "temperature"),
        ({"device": "cuda:99"}, "hf_vlm argument 'device'"),
    ],
)
def test_arguments_that_are_refused(
    arguments: dict[str, Any],
    complaint: str,
    checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = {"checkpoint": str(checkpoint("llava_onevision"))} | arguments
    with pytest.raises(BenchError, match=complaint):
        Plugins().adapter("hf_vlm", given, {"device": "cpu"} if "device" not in given else {})


@pytest.fixture(scope="module")
def task() -> Task:
    """The first scenes of a shipped task, under its own prompts."""
    plugins = Plugins()
    shipped_one = plugins.task("spatial_qa/world_direction")
    data = {k: v for k, v in shipped_one.data.items() if k not in ("rows", "content_hash")}
    data |= {"n": 12, "train_split": ""}
    return Task.load(plugins, msgspec.structs.replace(shipped_one, data=data))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_end_to_end_through_a_shipped_task(
    family: str, task: Task, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """A benchmark's own prompts, one at a time and four at a time: the same run."""
    runs = []
    for size in (1, 4):
        options = Options(out=tmp_path / str(size), device="cpu", batch_size=size)
        arguments = {"checkpoint": str(checkpoint(family)), "max_new_tokens": 6}
        model = Model.load(Plugins(), "hf_vlm", arguments, options)
        folder, record = run(task, model, options)
        assert set(record.counts) == {"scored"}
        runs.append(list(folder.samples()))
    assert len(runs[0]) >= 4
    assert [line.values for line in runs[0]] == [line.values for line in runs[1]]
    assert [line.details for line in runs[0]] == [line.details for line in runs[1]]
