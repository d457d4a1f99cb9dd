"""Checks of the exercises: ``checks.half_life(my_function)`` says what is right, or what is not.

A check tries the answer on several cases of unequal sizes. Of a wrong one it says on which case,
what was expected, what came, and the likely mistake; asked again, it gives the next hint.
"""

from payattention.checks.check import Check, Mistake, Verdict
from payattention.checks.recurrence import (
    combine,
    gru_step,
    half_life,
    kv_cache_bytes,
    recall_from_state,
    receptive_field,
)

__all__ = [
    "Check",
    "Mistake",
    "Verdict",
    "combine",
    "gru_step",
    "half_life",
    "kv_cache_bytes",
    "recall_from_state",
    "receptive_field",
]
