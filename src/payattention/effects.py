"""Which of many differences to believe: paired tests, and the share of false ones among those seen.

Two ways of training are compared seed by seed, by Student's t on the differences. Many comparisons
make some that look like effects by chance: one in twenty at 5 %. So what is held at 5 % is the
share of false ones among all that are called an effect, as it is to be expected, after Benjamini
and Hochberg 1995 (https://doi.org/10.1111/j.2517-6161.1995.tb02031.x). That holds for comparisons
that do not depend on each other, and for such as are positively related; those of one question
share their seeds and their baselines.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TypeVar

from scipy import stats

from payattention import wording
from payattention.measure import paired_interval

RATE = 0.05
"""The share of false ones that is expected, at most, among the effects that are seen."""
NONE = "no effect seen"
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Effect:
    """What a change does to a metric that is better when lower; negative is less of it.

    `more` is the mean of the differences, `low` and `high` bound it with 95 % confidence by
    itself, and `p` is the probability of such a difference by chance; `seen` says whether it
    stands among the others that it was judged with.
    """

    more: float
    low: float
    high: float
    p: float
    seen: bool

    @property
    def verdict(self) -> str:
        """Whether it `helps` or `hurts`, or is `none`."""
        if not self.seen:
            return "none"
        return "helps" if self.more < 0 else "hurts"

    def said(self, unit: str, *, times: float = 1.0, digits: int = 1) -> str:
        """The effect in words, with its interval; or that none was seen.

        >>> Effect(-0.046, -0.053, -0.039, 0.0001, seen=True).said("points", times=100)
        '4.6 (3.9 to 5.3) points lower'
        >>> Effect(-0.002, -0.053, 0.049, 0.9, seen=False).said("points", times=100)
        'no effect seen'
        """
        if not self.seen:
            return NONE
        size, *bounds = (times * x for x in (self.more, self.low, self.high))
        if size < 0:
            size, bounds = -size, [-x for x in reversed(bounds)]
        word = "lower" if self.more < 0 else "higher"
        return f"{wording.with_bounds(size, *bounds, digits=digits)} {unit} {word}"


def judge(
    pairs: Mapping[Name, tuple[Iterable[Real], Iterable[Real]]], *, rate: float = RATE
) -> dict[Name, Effect]:
    """The effect of each pair of runs, changed and unchanged, in the order of the same seeds.

    >>> found = judge({"a": ([3.0, 4.1, 5.2], [1.0, 2.0, 3.1]), "b": ([3.0, 1.0, 2.0], [2.0] * 3)})
    >>> [(name, effect.verdict) for name, effect in found.items()]
    [('a', 'hurts'), ('b', 'none')]

    Raises:
        ValueError: for pairs of unlike lengths, or of fewer than two runs.
    """
    found = {}
    for name, runs in pairs.items():
        changed, unchanged = (list(side) for side in runs)
        more = paired_interval(changed, unchanged)
        p = float(stats.ttest_rel(changed, unchanged).pvalue) if changed != unchanged else 1.0
        found[name] = (more.value, more.low, more.high, p)
    if not found:
        return {}
    adjusted = stats.false_discovery_control([each[-1] for each in found.values()], method="bh")
    return {
        name: Effect(*each, seen=bool(q <= rate))
        for (name, each), q in zip(found.items(), adjusted, strict=True)
    }
