r"""VLMEvalKit's letter for its spatial benchmarks: seven places in turn, mostly from the end.

Written from what vlmeval/dataset/utils/spatial_bench/matching_func.py: can_match_option does at
e8e78f05. Letters are A to F whatever the options are, since no caller hands it the options.
"""

from __future__ import annotations

import re

from g2vlm_bench.sample import Target

_INVISIBLE = re.compile("[\u200b\u200c\u200d\ufeff]")
_TAGGED = re.compile(
    r"<\s*answer\b[^>]*>\s*([A-J])(?:\s*[.\uff0e:\uff1a)\]\u3011\u3001])?.*?<\s*/\s*answer\s*>",
    re.I | re.S,
)
_OPEN, _CLOSE = r"[(\[{\uff08\u3010]?\s*", r"[)\]}\uff09\u3011]?"
_BEFORE_TAG = tuple(
    re.compile(rf"(?<![A-Za-z]){_OPEN}([A-F])\s*{_CLOSE}\s*</\s*{tag}\s*>", re.I)
    for tag in ("answer", "think")
)
_OPTION_LINE = re.compile(r"^(?:[*_>\-\s]*)(?:option|\u9009\u9879)\s+[A-J]\s*[:\uff1a]", re.I)
_LINE_ALONE = re.compile(
    r"\s*[*_`>\uff08\uff09\[\]\u3010\u3011()]*\s*([A-Fa-f])\s*"
    r"[*_`\uff08\uff09\[\]\u3010\u3011()]*\s*"
)
_LINE_START = re.compile(r"\s*([A-F])\s*[.\uff0e:\uff1a)\]\u3011\u3001-]\s+", re.I)
_TIGHT = r".,:;!?)\]\u3011\u300b\u300d\u300f\u300d\uff0c\u3002\uff1b\u3001\uff1a\uff09"
_IN_LINE = re.compile(
    rf"(?<![A-Za-z])[*_`\uff08\[{{(]*\s*([A-F])\s*[*_`\uff09\]}})]*(?=$|[\s{_TIGHT}])"
)
_PHRASE = re.compile(
    r"(?:final\s*answer|the\s*answer\s*is|answer(?:\s*is)?|correct\s*answer|\u7b54\u6848"
    r"|\u6700\u7ec8\u7b54\u6848|\u7ed3\u8bba|\u6240\u4ee5|\u56e0\u6b64|\u6211\u9009(?:\u62e9)?"
    rf"|\u9009\u62e9|\u9009)\s*[:\uff1a>\uff1d=]?\s*{_OPEN}([A-F])\s*{_CLOSE}(?:\b|[.)\u3001\u3002])",
    re.I,
)
_ANYWHERE = re.compile(rf"(?<![A-Za-z]){_OPEN}([A-F])\s*{_CLOSE}(?![A-Za-z])")
_LINES, _CHARACTERS = 6, 800  # what counts as the end


def tail_letter(text: str, target: Target) -> str | None:
    """The first letter that one of seven places gives, or None.

    In turn: inside `<answer>`; before `</answer>` or `</think>`, so that a thought's last letter
    beats the answer behind it; the last six lines behind the thought, and of the whole, from the
    last one up (alone, at the start, the only one in the line: the article of "A chair" is one);
    a phrase such as "answer is", which "answer: Box" fulfils with no letter and "answer a chair"
    with A; the only capital anywhere.
    """
    text = _INVISIBLE.sub("", text.strip())
    if tagged := _TAGGED.search(_one_blank(text)):
        return tagged[1].upper()
    end = text[-_CHARACTERS:]
    for pattern in _BEFORE_TAG:
        if match := pattern.search(end):
            return match[1].upper()
    for where in (behind_thought(text), end):
        if letter := _in_lines(where.splitlines()[-_LINES:]):
            return letter
    if phrase := _PHRASE.search(_one_blank(text)):
        return phrase[1].upper()
    rest = "\n".join(line for line in text.splitlines() if not _OPTION_LINE.search(line))
    found = set(_ANYWHERE.findall(_one_blank(rest)))
    return found.pop() if len(found) == 1 else None


def _one_blank(text: str) -> str:
    """Make one blank of each run of them.

    These patterns match the same letters either way, but try every way to share a run out: a model
    that says "The answer is" and 4,000 line ends would keep one of them busy for minutes.
    """
    return re.sub(r"\s+", " ", text)


def behind_thought(text: str) -> str:
    """What follows the last `</think>`, or where there is none the last `<think>`."""
    for tag in (r"</\s*think\s*>", r"<\s*think\s*>"):
        found = list(re.finditer(tag, text, re.I))
        if found:
            return text[found[-1].end() :].strip()
    return text


def _in_lines(lines: list[str]) -> str | None:
    for line in reversed([line.strip() for line in lines if line.strip()]):
        if _OPTION_LINE.search(line):
            continue
        match = _LINE_ALONE.fullmatch(line) or _LINE_START.match(line)
        if match:
            return match[1].upper()
        found = set(_IN_LINE.findall(line))
        if len(found) == 1:
            return str(found.pop())
    return None
