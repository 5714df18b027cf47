r"""How published scorers read the letter of an option, each with its quirks.

A function takes the answer and the question's truth and gives the letter it reads, or None. Written
from what the code named does, at these commits, and held to it by `scripts/conformance_answers.py`:
lmms-eval 75571cfe, VLMEvalKit e8e78f05, thinking-in-space 51e089c3, SPAR 1cc04758,
MindCube 6d8fd9ac, OmniSpatial 208bac25, ViewSpatial-Bench 2e85a5e4.
"""

from __future__ import annotations

import json
import re

from g2vlm_bench.metrics.answer_text import Status
from g2vlm_bench.protocols.counted import (
    Counted,
    Rule,
    by_letter,
    final_answer,
    letters_of,
    right_letter,
    unread,
)
from g2vlm_bench.protocols.tail_letter import tail_letter
from g2vlm_bench.sample import Target


def first_token(text: str, target: Target) -> Counted:
    """VSI-Bench: all before the first space must be the letter.

    "(A)" and "The answer is A" are wrong, and "A or B" is right for A
    (vsibench/utils.py: fuzzy_matching, exact_match).
    """
    token = text.split(" ")[0].rstrip(".").strip()
    right = token.lower() == right_letter(target).lower()
    return Counted(float(right), token, "first token", "parsed") if token else unread(text, "empty")


def spar_exact_match(text: str, target: Target) -> Counted:
    """SPAR-Bench: an empty answer is right, since it is part of every string.

    So is any answer that starts with the letter: "Apple", "Both" (sparbench/utils.py: exact_match).
    """
    said, letter = text.lower(), right_letter(target).lower()
    right = said in letter or said[0] == letter
    return Counted(float(right), text, "substring or first character", _status(text))


def leading_letter(text: str, target: Target) -> str | None:
    """BLINK, CV-Bench and EmbSpatial in lmms-eval: the first letter of whatever stands there.

    "I think it is B" reads as I (blink/utils.py: _extract_answer_letter).
    """
    match = re.match(r"[(\s]*([a-z])", text.strip(), re.I)
    return match[1].upper() if match else None


def blink_letter(text: str, target: Target) -> str | None:
    """BLINK: a bare letter, or the one "(X)" that stands alone among the words.

    Of several, the one of the last paragraph. All else is asked of GPT-3.5 there and is unread
    here; "(B)." is such a case, since the full stop is part of the word
    (BLINK_Benchmark@2d6a779b, eval/test_benchmark.py: analyze_answer).
    """
    known = {f"({letter})" for letter in letters_of(target)}
    if text in tuple("ABCDE") or text in tuple(f"({letter})" for letter in "ABCDE"):
        return text.strip("()")
    found = known.intersection(text.split())
    last = known.intersection(text.split("\n\n")[-1].split())
    chosen = last if len(last) == 1 else found
    return chosen.pop().strip("()") if len(chosen) == 1 else None


_MINDCUBE_SECTION = (r"[Mm]y answer is ([A-E])", r"[Tt]he answer is ([A-E])", r"\b([A-E])\b")
_MINDCUBE_WHOLE = (
    r"(?:^|\n)(?:Answer: )?([A-E])(?:$|\s)",
    r"[*\"]([A-E])[*\"]",
    r"\bAnswer:?\s*([A-E])\b",
    r"[Mm]y answer is ([A-E])",
    r"answer is ([A-E])",
)


def mindcube_letter(text: str, target: Target) -> str | None:
    """MindCube: the last capital A to E before a full stop, wherever it stands; then phrases.

    "Image C. shows ..." beats every phrase; the last line with a lone capital, "A chair", is the
    last resort (src/evaluation/core/extractors.py: extract_answer).
    """
    if found := re.findall(r"([A-E])\.", text):
        return str(found[-1])
    section = re.search(r"<Answer>(.*?)(?:<|$)", text, re.S)
    searches = [(pattern, section[1]) for pattern in _MINDCUBE_SECTION] if section else []
    for pattern, where in searches + [(pattern, text) for pattern in _MINDCUBE_WHOLE]:
        if found := re.findall(pattern, where):
            return str(found[-1])
    for line in reversed(text.split("\n")):
        if lone := re.search(r"\b([A-E])\b", line):
            return lone[1]
    return None


def answer_line_or_a(text: str, target: Target) -> Counted:
    """OmniSpatial: what cannot be read is A, and is right where A is.

    The last "Answer: X" counts; one in lower case never equals the letter (api_eval.py, mode `re`).
    """
    found = re.findall(r"Answer\s*:\s*([A-D])\b", text, re.I)
    letter = found[-1] if found else "A"
    how = "last 'Answer: X'" if found else "nothing found counts as A"
    right = float(letter == right_letter(target))
    return Counted(right, letter, how, "parsed" if found else _status(text, "unparsed"))


def json_answer_or_a(text: str, target: Target) -> Counted:
    """OmniSpatial, mode `json`: the first character of the key "answer"; A where there is none."""
    try:
        cleaned = text.strip().removeprefix("```json").removesuffix("```").strip()
        letter = json.loads(cleaned).get("answer", "A").strip().upper()[:1]
    except Exception:
        right = float(right_letter(target) == "A")
        return Counted(right, "A", "nothing found counts as A", _status(text, "unparsed"))
    return Counted(float(letter == right_letter(target)), letter, "JSON key", "parsed")


def first_character(text: str, target: Target) -> str | None:
    """OmniSpatial, mode `direct`: the first character in upper case; "Behind" reads as B."""
    return text.strip().upper()[:1] or None


def first_character_after_thought(text: str, target: Target) -> str | None:
    """lmms-eval's second OmniSpatial: the same behind `</think>`, or of what `<answer>` holds."""
    return first_character(final_answer(text), target)


def last_line_letter(text: str, target: Target) -> str | None:
    """ViewSpatial: the first lone a to d of the last line; the article of "a chair" reads as A.

    evaluate.py: extract_option.
    """
    match = re.search(r"\b([A-D])\b", text.split("\n")[-1], re.I)
    return match[1].upper() if match else None


def quoted_letter(text: str, target: Target) -> str | None:
    """MMSI-Bench: the first lone A to D of what back-ticks or braces hold, else of all.

    A letter that a word follows, as in "A chair" and "B because", is passed over
    (README.md: extract_single_choice_with_word_boundary).
    """
    match = re.search(r"\b[A-D]\b(?!\s[a-zA-Z])", _quoted(text))
    return match[0] if match else None


def quoted_letter_of_either_case(text: str, target: Target) -> str | None:
    """MMSI-Bench in lmms-eval: the same for a to f in either case.

    So the first lone letter of "right, i.e. B" is the e of "i.e." (mmsi_bench/utils.py).
    """
    match = re.search(r"\b[A-F]\b(?!\s[a-z])", _quoted(text), re.I)
    return match[0].upper() if match else None


def _quoted(text: str) -> str:
    for pattern in (r"``([^`]*)``", r"`([^`]*)`", r"\{([^}]*)\}"):
        if match := re.search(pattern, text):
            text = match[1]
    return text


_FINAL = (
    "<answer>", "Answer:", "Final answer", "final answer", "Final Answer", "the answer is",
    "The answer is", "correct answer", "Correct answer", "Correct Answer", "\u7b54\u6848",
    "correct path",
)  # fmt: skip


def only_letter_in_tags(text: str, target: Target) -> str | None:
    """SpatialViz: all capitals A to D behind the tag or phrase must be one and the same letter.

    Capitals inside words count: "<answer>Both: B</answer>" is B, "The answer is Dog" is D. An
    answer of one character needs no tag (spatialviz/utils.py: spatialviz_process_results).
    """
    thought = re.search(r"<think>(.*?)</think>", text, re.S)
    answer = re.search(r"<answer>(.*?)</answer>", text, re.S)
    if thought and answer:
        held = answer[1].strip()
    elif len(text) == 1:
        held = text
    else:
        phrase = next((phrase for phrase in _FINAL if phrase in text), None)
        held = "" if phrase is None else text.split(phrase)[-1].strip()
    found = set(re.findall(r"[A-D]", held.split(".")[0]))
    return found.pop() if len(found) == 1 else None


_PHRASES = (
    "the answer is", "answer is", "the correct answer is", "correct answer is",
    "the best answer is", "best answer is", "the correct option is", "correct option is",
    "the best option is", "best option is", "the choice is", "choice is", "the correct choice is",
    "correct choice is", "i choose", "i select", "i pick", "my answer is", "my choice is",
    "\uc635\uc158", "\uc815\ub2f5\uc740", "\ub2f5\uc740", "\ub2f5:", "\u7b54\u6848\u662f",
    "\u7b54\u6848\u4e3a", "\u9009", "\u7b54\u3048\u306f",
)  # fmt: skip
_FORMS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))


def ranked_letter(text: str, target: Target) -> str | None:
    """ERQA in lmms-eval: the best ranked of nine forms, the last one of it; A to D.

    The first capital behind a phrase may stand inside a word: "the answer is Box B" reads as B by
    its B of Box (_task_utils/mcq_extract.py: extract_mcq_answer).
    """
    if not text.strip():
        return None
    bare = text.strip()
    for mark in ",.!?;:'\"":
        bare = bare.strip(mark)
    padded, bare = f" {bare} ", bare.strip()
    found: list[tuple[int, int, str]] = []
    for letter in "ABCD":
        found += [
            (rank, padded.rfind(form.format(letter)), letter)
            for form, rank in _FORMS
            if form.format(letter) in padded
        ]
    low = padded.lower()
    for phrase in (phrase for phrase in _PHRASES if phrase in low):
        after = low.find(phrase) + len(phrase)
        found += [(7, padded.find(c, after), c) for c in "ABCD" if padded.find(c, after) != -1]
    for letter in "ABCD":
        if bare.startswith(letter) and not bare[1:2].isalpha():
            found.append((10, 0, letter))
        if bare.endswith(letter) and (len(bare) == 1 or not bare[-2].isalpha()):
            found.append((9, len(padded) - 1, letter))
    if not found:
        found = [(0, padded.rfind(c), c) for c in "ABCD" if c in padded]
    # The first of equals stays first, as in a stable sort.
    return max(found, key=lambda one: one[:2])[2] if found else None


_THREE_D_SR = (
    r"^([A-D])[.\s)]", r"^([A-D])$", r"[Aa]nswer[:\s]+([A-D])", r"[Tt]he answer is[:\s]+([A-D])",
    r"[Mm]y answer is[:\s]+([A-D])", r"\(([A-D])\)", r"([A-D])\.", r"\b([A-D])\b",
)  # fmt: skip


def first_pattern(text: str, target: Target) -> str | None:
    """3DSRBench in lmms-eval: eight patterns in turn, each its first match.

    The first one takes "A chair ..." for A (3dsrbench/utils.py: extract_answer).
    """
    matches = (re.search(pattern, text.strip()) for pattern in _THREE_D_SR)
    return next((match[1] for match in matches if match), None)


def site_letter(text: str, target: Target) -> Counted:
    """SITE-Bench in lmms-eval: of several letters the last; where there is none, one at random.

    What is random there is its expectation here, one over the options. Of several in brackets the
    first one wins, since their places are sought without brackets
    (sitebench/utils.py: parse_multi_choice_response).
    """
    padded = f" {text.strip()} "
    forms = (("({})",), (" {} ",), ("{}.",), ("{}:", ":{}", ": {}"))
    for form in forms:
        found = [c for c in letters_of(target) if any(f.format(c) in padded for f in form)]
        if found:
            # The first of equals, as in argmax.
            letter = max(found, key=lambda c: padded.rfind(f" {c} "))
            right = float(letter == right_letter(target))
            return Counted(right, letter, "letter in the text", "parsed")
    return unread(text, "a random letter there", 1 / len(target.choices))


def sat_letter(text: str, target: Target) -> Counted:
    """SAT in lmms-eval: the first word without punctuation, or the first option that is named.

    Options are sought with their case and their punctuation kept, in a text without punctuation
    (sat/utils.py: MultiChoiceRegexFilter; sat.yaml: exact_match ignoring case).
    """
    cleaned = re.sub(r"[^\w\s]", "", text).strip()
    letters = {
        choice.strip(): letter for letter, choice in zip("ABCDEFGH", target.choices, strict=False)
    }
    named = re.search("|".join(map(re.escape, letters)), cleaned)
    said = letters[named[0]] if named and named[0] in letters else cleaned.split(" ")[0]
    if not said:
        return unread(text, "empty")
    how = "option named" if named else "first word"
    return Counted(float(said.lower() == right_letter(target).lower()), said, how, "parsed")


_REFUSED = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def inferred_letter(text: str, target: Target) -> str | None:
    """VLMEvalKit's BLINK, CV-Bench and 3DSRBench without a judge: the one lone letter near the end.

    A lone letter among the last four words counts, the article of "A chair" too where it stands
    there; else "answer is X"; else the one option that is named anywhere, negated or not, unless
    the text is twice as long as all options (vlmeval/utils/matching_util.py: can_infer).
    """
    said = _lone_letter(text, target, nearest=4)
    if said is None and "Failed to obtain answer via API" not in text:
        stated = re.search(r"answer\s+is\s+\**([ABCD])\**", text, re.I)
        if stated and stated[1].upper() in letters_of(target):
            said = stated[1].upper()
    if said is None and len(text) <= 2 * sum(map(len, target.choices)):
        said = _only_option_named(text, target)
    return said


def lone_letter(text: str, target: Target) -> str | None:
    """All-Angles-Bench's fork of VLMEvalKit without a judge: the one lone letter, wherever it is.

    The article of "A chair" counts; else the one option that is named anywhere, negated or not, in
    a text of any length (All-Angles-Bench 0e1d210 VLMEvalkit/vlmeval/utils/matching_util.py:
    can_infer).
    """
    return _lone_letter(text, target) or _only_option_named(text, target)


def _lone_letter(text: str, target: Target, nearest: int | None = None) -> str | None:
    """can_infer_option: the one letter that is a word of its own; "Z" where the model refuses.

    With `nearest` it counts among so many last words only.
    """
    if "Failed to obtain answer via API" in text:
        return None
    if any(phrase in text for phrase in _REFUSED):
        return "Z"
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", text).split()
    lone = [letter for letter in letters_of(target) if letter in words]
    if len(lone) == 1 and (nearest is None or words.index(lone[0]) >= len(words) - nearest):
        return lone[0]
    return "Z" if not lone and "Z" in words else None


def _only_option_named(text: str, target: Target) -> str | None:
    """can_infer_text: the letter of the one option whose words stand in the text."""
    low = text.lower()
    letters = letters_of(target)
    named = [c for c, name in zip(letters, target.choices, strict=True) if name.lower() in low]
    return named[0] if len(named) == 1 else None


def part_of_answer(text: str, target: Target) -> Counted:
    """SpatialMQA: what is part of the right option is right, so that saying nothing is, too.

    "." and "o" are parts of "on/above", and "left of" is none of "left"
    (SpatialMQA 7b2f475 Code/close_models/gpt4_zero_shot.py: `output in data['answer']`).
    """
    said = text.strip().rstrip(".").lower()
    right = float(said in str(target.answer))
    if not said:
        return unread(text, "nothing is part of every answer", right)
    return Counted(right, said, "part of the answer", "parsed")


def _status(text: str, otherwise: Status = "parsed") -> Status:
    return otherwise if text.strip() else "empty"


LETTER_RULES: dict[str, Rule] = {
    "first_token": first_token,
    "spar_exact_match": spar_exact_match,
    "leading_letter": by_letter(leading_letter, "leading letter"),
    "blink_letter": by_letter(blink_letter, "bracketed letter"),
    "mindcube_letter": by_letter(mindcube_letter, "MindCube's patterns"),
    "answer_line_or_a": answer_line_or_a,
    "json_answer_or_a": json_answer_or_a,
    "first_character": by_letter(first_character, "first character"),
    "first_character_after_thought": by_letter(first_character_after_thought, "first character"),
    "last_line_letter": by_letter(last_line_letter, "letter in the last line"),
    "quoted_letter": by_letter(quoted_letter, "letter in back-ticks or braces"),
    "quoted_letter_of_either_case": by_letter(
        quoted_letter_of_either_case, "letter in back-ticks or braces"
    ),
    "only_letter_in_tags": by_letter(only_letter_in_tags, "only letter behind a tag or phrase"),
    "ranked_letter": by_letter(ranked_letter, "best ranked form"),
    "first_pattern": by_letter(first_pattern, "first pattern"),
    "site_letter": site_letter,
    "sat_letter": sat_letter,
    "inferred_letter": by_letter(inferred_letter, "can_infer"),
    "lone_letter": by_letter(lone_letter, "can_infer of All-Angles-Bench"),
    "part_of_answer": part_of_answer,
    "tail_letter": by_letter(tail_letter, "can_match_option"),
}
