r"""How published scorers read and count short texts and a yes or no, each with its quirks.

Commits as in `letters`; RoboSpatial-Eval 19f04a5d.
"""

from __future__ import annotations

import re

from g2vlm_bench.protocols.counted import Counted, Rule, final_answer, right_letter, unread
from g2vlm_bench.sample import Target

_ANSWER_KEYS = (
    re.compile(r"['\"]?Answer['\"]?\s*[:=]\s*['\"]([^'\"]+)['\"]", re.I),
    re.compile(r"Answer['\"]?\s*:\s*['\"]?(\w+)", re.I),
)
_SAME = ({"yes", "true", "1"}, {"no", "false", "0"})


def answer_key_or_all(text: str, target: Target) -> Counted:
    """Spatial457 in lmms-eval: the value of the key "Answer", else the whole text.

    1 is a yes and 0 a no, so that "one object" asked for and "Yes" said are the same where the
    truth is 1 (spatial457/utils.py: _extract_answer_from_response, _check_correctness).
    """
    found = next((match[1] for key in _ANSWER_KEYS if (match := key.search(text))), text)
    said, true = found.strip().lower(), _true(target).strip().lower()
    if not said:
        return unread(text, "empty")
    right = said == true or any(said in same and true in same for same in _SAME)
    # Not `isdigit`, which has "\u00b2" for a digit; int() reads neither that nor 5,000 digits.
    right |= said.isdecimal() and true.isdecimal() and len(said) < 99 and int(said) == int(true)
    return Counted(float(right), found.strip(), "key 'Answer', else all", "parsed")


_KINDS = {
    "car": "suv wagon minivan sedan truck addi car",
    "bus": "articulated regular double school bus",
    "motorbike": "chopper dirtbike scooter cruiser motorbike",
    "aeroplane": "jet fighter biplane airliner aeroplane",
    "bicycle": "road utility mountain tandem bicycle",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_COUNTS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def answer_key_or_kind(text: str, target: Target) -> Counted:
    """Spatial457 in VLMEvalKit: vehicles of one kind are the same, and any count above 0 is a yes.

    "None" is a no, 0 is a No where the truth is spelt "No", and without the key "Answer" the whole
    text is the answer (ROBUST) (utils/spatial457.py: is_correct).
    """
    keys = (r"Answer': '(.*?)'", r'Answer": "(.*?)"', r"Answer': (\d)")
    match = next((match for key in keys if (match := re.search(key, text))), None)
    said, true = (match[1] if match else text), _true(target)
    said = "no" if said.lower() == "none" else said
    first, first_true = (_KIND_OF.get(t.lower().split(" ")[0]) for t in (said, true))
    right = said.lower() == true.lower() or (said == "0" and true == "No")
    right |= said.lower() in _COUNTS and str(_COUNTS.index(said.lower())) == true
    right |= true.lower() == "yes" and said in list("123456789")
    right |= first is not None and first == first_true
    if match is None and not said.strip():
        return unread(text, "empty", float(right))
    how = "key 'Answer'" if match else "the whole response"
    return Counted(float(right), said, how, "parsed")


def boxed_or_phrase(text: str, target: Target) -> Counted:
    r"""STARE: a letter that starts the text, the last `\boxed{}`, or what a phrase ends with.

    Of "answer is (B)" the brackets stay, and it is wrong. Its comparison of formulas is not
    reproduced: between letters it decides nothing (stare/utils.py: fast_extract_answer, is_equal).
    """
    said = _stare(text.strip())
    if not said:
        return unread(text, "no form of an answer")
    right = said.lower().strip() == right_letter(target).lower()
    return Counted(float(right), said, "start, box or phrase", "parsed")


def _stare(text: str) -> str:
    for letter in "ABCDEFGH":
        if text.upper() == letter or text.startswith((f"{letter}:", f"{letter}.")):
            return letter
    try:
        float(text)
    except ValueError:
        pass
    else:
        return text
    if boxes := _boxes(text):
        inner = re.findall(r"\\text{(.*?)}", boxes[-1])
        return str(inner[-1] if inner else boxes[-1]).strip()
    low = text.lower()
    phrases = ("final answer is", "correct answer is", "answer should be", "answer is", "answer:")
    phrase = next((phrase for phrase in phrases if phrase in low), None)
    return "" if phrase is None else low.split(phrase)[-1].strip().split("\n")[0].split(".")[0]


def _boxes(text: str) -> list[str]:
    r"""What stands in each closed `\boxed{}`, with braces of its own."""
    found = []
    for match in re.finditer(r"\\boxed{", text):
        depth = 1
        for end in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                found.append(text[match.end() : end])
                break
    return found


def last_line_yes_no(text: str, target: Target) -> Counted:
    """RoboSpatial in lmms-eval: the last line holds the right word and not the other.

    Inside words, too: "I know: yes" holds a no and is wrong (evaluate_binary_answer).
    """
    line = final_answer(text).lower().split("\n")[-1]
    right, wrong = ("yes", "no") if target.answer == "yes" else ("no", "yes")
    if right not in line and wrong not in line:
        return unread(text, "neither yes nor no in the last line")
    score = float(right in line and wrong not in line)
    return Counted(score, line, "substrings of the last line", "parsed")


def starts_with_yes_no(text: str, target: Target) -> Counted:
    """RoboSpatial and VLMEvalKit: what starts with the word is right; "Nothing" is a no."""
    said = text.strip().lower()
    if not said.startswith(("yes", "no")):
        return unread(text, "neither yes nor no at the start")
    return Counted(float(said.startswith(str(target.answer))), said[:3], "start", "parsed")


# As process_punctuation has them (vlmeval/smp/misc.py); its pattern for full stops takes the flag
# re.UNICODE, 32, for a count.
_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_STOPS_TAKEN = 32


def word_yes_no(text: str, target: Target) -> Counted:
    """VSR in VLMEvalKit without a judge: the word yes or no stands in the text, and not the other.

    "There is no doubt" is a no. A mark beside any space, or any comma between digits, joins words:
    "yes,it is - really" has no yes (utils/yorn.py: YOrN_Extraction).
    """
    low = plain = text.lower()
    joins = re.search(r"\d,\d", low) is not None
    for mark in _MARKS:
        beside_space = f"{mark} " in low or f" {mark}" in low
        plain = plain.replace(mark, "" if beside_space or joins else " ")
    words = re.sub(r"(?<!\d)\.(?!\d)", "", plain, count=_STOPS_TAKEN).split()
    said = [word for word in ("yes", "no") if word in words]
    if len(said) != 1:
        return unread(text, "both yes and no" if said else "neither yes nor no")
    return Counted(float(said[0] == target.answer), said[0], "a word of the text", "parsed")


_STEPS = (
    r"(?:first|1st|\u9996\u5148|\u7b2c\u4e00\u6b65).*?([A-D])",
    r"(?:second|2nd|\u5176\u6b21|\u7b2c\u4e8c\u6b65).*?([A-D])",
    r"(?:third|3rd|\u518d\u6b21|\u7b2c\u4e09\u6b65).*?([A-D])",
    r"(?:fourth|4th|\u6700\u540e|\u7b2c\u56db\u6b65).*?([A-D])",
)
_STEP = (
    r"(?:step\s*[\d\u4e00\u4e8c\u4e09\u56db]+|\u6b65\u9aa4\s*[\d\u4e00\u4e8c\u4e09\u56db]+"
    r"|\u7b2c\s*[\d\u4e00\u4e8c\u4e09\u56db]\s*\u6b65).*?([A-D])"
)


def four_letters_in_order(text: str, target: Target) -> Counted:
    """LEGO-Puzzles in VLMEvalKit without a judge: four different letters in a row, or one a step.

    "B, A, D, C" is not read; behind "first" any letter a to d counts, inside words, too
    (vlmeval/utils/matching_util.py: can_infer_sequence).
    """
    said = _sequence(text.upper())
    if said is None:
        return unread(text, "no four letters in order")
    return Counted(float(said == str(target.answer)), said, "four letters", "parsed")


def _sequence(text: str) -> str | None:
    row = re.search(r"\b([A-D]{4})\b", text)
    if row and len(set(row[1])) == 4:
        return row[1]
    found = [match[1].upper() for step in _STEPS if (match := re.search(step, text, re.I))]
    if len(order := list(dict.fromkeys(found))) == 4:
        return "".join(order)
    steps = [letter.upper() for letter in re.findall(_STEP, text, re.I)][:4]
    return "".join(steps) if len(set(steps)) == 4 else None


def _true(target: Target) -> str:
    """The answer as the benchmark's data spell it."""
    if target.answer_type == "number":
        return f"{target.answer:g}"
    return str(target.answer).capitalize() if target.answer_type == "yes_no" else str(target.answer)


ORDER_RULES: dict[str, Rule] = {"four_letters_in_order": four_letters_in_order}
TEXT_RULES: dict[str, Rule] = {
    "answer_key_or_all": answer_key_or_all,
    "answer_key_or_kind": answer_key_or_kind,
}
BOXED_RULES: dict[str, Rule] = {"boxed_or_phrase": boxed_or_phrase}
YES_NO_RULES: dict[str, Rule] = {
    "last_line_yes_no": last_line_yes_no,
    "starts_with_yes_no": starts_with_yes_no,
    "word_yes_no": word_yes_no,
}
