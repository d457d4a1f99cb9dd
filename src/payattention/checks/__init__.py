"""Checks of the exercises: ``checks.half_life(my_function)`` says what is right, or what is not.

A check tries the answer on several cases of unequal sizes. Of a wrong one it says on which case,
what was expected, what came, and the likely mistake; asked again, it gives the next hint.
"""

from payattention.checks.adaptive_compute import act, door_flops, pondered
from payattention.checks.attention import (
    attention_parameters,
    causal_attention,
    pairs,
    score_spread,
    soft_lookup,
    where_to_look,
)
from payattention.checks.check import Check, Mistake, Verdict
from payattention.checks.mixup import calibration_error, cut_share, mix
from payattention.checks.positions import interpolated, rotate_pair
from payattention.checks.quadratic_cost import (
    kv_cache_tokens,
    online_softmax,
    seconds_at_least,
    training_flops,
)
from payattention.checks.recurrence import (
    combine,
    gru_step,
    half_life,
    kv_cache_bytes,
    recall_from_state,
    receptive_field,
)
from payattention.checks.scaling_laws import best_size, foretold, valley_bottom
from payattention.checks.sparse_attention import near_in_a_picture, rolling_step, window_pairs
from payattention.checks.sparse_weights import csr_bytes, gates, wanda_keeps
from payattention.checks.transformer import (
    continued_attention,
    count_parameters,
    kv_cache_step,
    masked_loss,
    pre_norm_block,
    top_p,
)

__all__ = [
    "Check",
    "Mistake",
    "Verdict",
    "act",
    "attention_parameters",
    "best_size",
    "calibration_error",
    "causal_attention",
    "combine",
    "continued_attention",
    "count_parameters",
    "csr_bytes",
    "cut_share",
    "door_flops",
    "foretold",
    "gates",
    "gru_step",
    "half_life",
    "interpolated",
    "kv_cache_bytes",
    "kv_cache_step",
    "kv_cache_tokens",
    "masked_loss",
    "mix",
    "near_in_a_picture",
    "online_softmax",
    "pairs",
    "pondered",
    "pre_norm_block",
    "recall_from_state",
    "receptive_field",
    "rolling_step",
    "rotate_pair",
    "score_spread",
    "seconds_at_least",
    "soft_lookup",
    "top_p",
    "training_flops",
    "valley_bottom",
    "wanda_keeps",
    "where_to_look",
    "window_pairs",
]
