"""Is the book's window attention as fast as the libraries that people use for it?

Causal attention to the last 256 tokens, forward, float32, four heads of 64: by the tiles of
`sparse_attention`, by PyTorch's `flex_attention`, compiled for this pattern, and by
`local-attention`; beside them PyTorch's fused kernel over all of the past. All are called in turn,
and each time is divided by ours of the same round. Compiling, and planning, are not counted. What
the peers give is compared with ours before it is timed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import measure as clock
from payattention import wording
from payattention.patterns import causal_window
from payattention.records import Record, Results
from payattention.sparse_attention import attend_sparse

ALONE = True
TOLERANCE = {"relative": None, "seconds": None}
OURS = "payattention"
PACKAGES = ("local-attention",)


@dataclass(frozen=True)
class Config:
    """Lengths, at the first of which the peers are left out; window, heads, repeats, threads."""

    tokens: tuple[int, ...] = (1024, 8192, 16384)
    window: int = 256
    heads: int = 4
    d_head: int = 64
    repeats: int = 7
    threads: int = 2


FULL = Config()
LIVE = replace(FULL, tokens=(1024,), repeats=3)


def points(config: Config) -> list[Record]:
    """The shortest length without peers, to be measured again by a test; then the others."""
    return [{"tokens": tokens, "peers": place > 0} for place, tokens in enumerate(config.tokens)]


def ways(config: Config, tokens: int, *, peers: bool) -> dict[str, Callable[..., Tensor]]:
    """What attends, by name; each takes queries, keys and values."""
    pattern = causal_window(config.window)
    found: dict[str, Callable[..., Tensor]] = {
        OURS: lambda q, k, v: attend_sparse(q, k, v, pattern),
        "all of the past": partial(F.scaled_dot_product_attention, is_causal=True),
    }
    if peers:
        found["flex_attention"] = _flex(config.window, tokens)
        found["local-attention"] = _local(config.window)
    return found


def _flex(window: int, tokens: int) -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def allowed(batch, head, row, column):
        return (row >= column) & (row - column < window)

    blocks = create_block_mask(allowed, None, None, tokens, tokens, device="cpu")
    return partial(torch.compile(flex_attention), block_mask=blocks)


def _local(window: int) -> Callable[..., Tensor]:
    from local_attention import LocalAttention

    return LocalAttention(
        window_size=window - 1,  # it counts the tokens before a token's own
        causal=True,
        look_backward=1,
        exact_windowsize=True,
        autopad=True,
        use_rotary_pos_emb=False,
    )


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of each way in each round, and over ours of the same round."""
    torch.manual_seed(0)
    inputs = torch.randn(3, 1, config.heads, point["tokens"], config.d_head).unbind()
    calls = ways(config, point["tokens"], peers=point["peers"])
    with clock.threads(config.threads), torch.no_grad():
        ours = calls[OURS](*inputs)
        for name in set(calls) - {OURS, "all of the past"}:
            torch.testing.assert_close(calls[name](*inputs), ours, atol=1e-5, rtol=1e-4)
        timed = {name: partial(call, *inputs) for name, call in calls.items()}
        times = clock.compare(timed, repeats=config.repeats, warmup=1)
    return [
        {"way": name, "repeat": repeat, "seconds": seconds, "relative": seconds / own}
        for name, all_seconds in times.items()
        for repeat, (seconds, own) in enumerate(zip(all_seconds, times[OURS], strict=True))
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: times over ours, by length and way."""
    found = {"window": str(FULL.window), "repeats": str(FULL.repeats)}
    for tokens in sorted(set(results.column("tokens").tolist())):
        rows = results.where(tokens=tokens)
        for way in dict.fromkeys(rows.column("way").tolist()):
            if way != OURS:
                by = clock.interval(rows.where(way=way).column("relative").tolist())
                key = way.replace(" ", "_").replace("-", "_")
                found[f"{key}_{tokens}"] = wording.with_bounds(by.value, by.low, by.high, digits=1)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import window_vs_peers

    results.main(window_vs_peers)
