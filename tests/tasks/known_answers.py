"""Questions of every type with their true answers, for the tests of spatial_qa."""

from __future__ import annotations

import msgspec
import numpy as np

from g2vlm_bench.sample import Prediction, Target
from g2vlm_bench.store import SampleLine

METRICS = ["accuracy", "chance_corrected_accuracy", "mean_relative_accuracy", "unparsed"]
LIKELIHOOD = {"scoring": "loglikelihood"}


def choice(answer: str, *choices: str) -> Target:
    return Target(answer=answer, choices=choices, answer_type="choice")


CHOICE = choice("left", "left", "right", "behind", "above")
YES = Target(answer="yes", answer_type="yes_no")
NO = Target(answer="no", answer_type="yes_no")
NUMBER = Target(answer=2.0, answer_type="number")
TEXT = Target(answer="red box", accepted=("crate",), answer_type="text")
EVERY = {"choice": CHOICE, "yes": YES, "no": NO, "number": NUMBER, "text": TEXT}


def said(text: str) -> Prediction:
    return Prediction(answer=text)


def likely(*values: float) -> Prediction:
    return Prediction(choice_loglikelihoods=np.array(values, float))


def replace_id(line: SampleLine, id: str) -> SampleLine:
    return msgspec.structs.replace(line, id=id, cluster=id)
