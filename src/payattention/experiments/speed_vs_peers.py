"""Is the book's Transformer as fast as the libraries that people use?

The peers: GPT-2 of `transformers` with PyTorch's fused attention, `x-transformers`, and PyTorch's
own `nn.TransformerEncoder` with a causal mask; all with learned positions, a tied output and no
dropout, of one shape, their parameters equal within 1 %. Training is a step of forward, backward
and fused AdamW, float32, two threads, eager or compiled, on random tokens; its peak memory counts
the tensors of a step beyond weights and optimiser. Generation writes 256 tokens greedily behind 16,
each library with its own cache. All times of a round are divided by ours of that round. The
bandwidth bound is the time to read the weights once a token, at the rate at which this machine
multiplies a matrix much larger than its caches by a vector.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import generation, wording
from payattention import measure as clock
from payattention.cost import parameters
from payattention.records import Record, Results
from payattention.shape import TransformerShape, gpt
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {"relative": None, "tokens_per_second": None, "bound_share": None, "peak_bytes": 0.0}
OURS = "payattention"
PEERS = ("transformers", "x-transformers", "torch")
PACKAGES = ("transformers", "x-transformers")
VOCAB = 96


@dataclass(frozen=True)
class Config:
    """Sizes: layers, width and heads of each model, by the name that the text calls it."""

    sizes: tuple[tuple[str, int, int, int], ...] = (
        ("0.1M", 2, 64, 2),
        ("0.8M", 4, 128, 4),
        ("10M", 8, 320, 5),
    )
    written: tuple[int, int, int] = (4, 256, 4)
    modes: tuple[str, ...] = ("eager", "compiled")
    batch: int = 16
    tokens: int = 128
    prompt: int = 16
    new_tokens: int = 256
    batches_written: tuple[int, ...] = (1, 8)
    repeats: int = 9
    threads: int = 2


FULL = Config()
LIVE = replace(FULL, sizes=FULL.sizes[:1], modes=("eager",), new_tokens=64, repeats=3)


def points(config: Config) -> list[Record]:
    """Peak memory and speed of training at each size, then generation."""
    sizes = [size[0] for size in config.sizes]
    memory = [{"task": "memory", "size": size} for size in sizes]
    training = [
        {"task": "training", "size": size, "mode": mode} for mode in config.modes for size in sizes
    ]
    return memory + training + [{"task": "writing", "batch": n} for n in config.batches_written]


def measure(config: Config, point: Record) -> list[Record]:
    """One record for each library, and where time is measured, for each repeat."""
    torch.manual_seed(0)
    with clock.threads(config.threads):
        if point["task"] == "writing":
            return writing(config, point)
        steps = training_steps(config, point)
        if point["task"] == "memory":
            # the first step makes the optimiser's state, which is not counted
            for step in steps.values():
                step()
            return [{"model": m, "peak_bytes": clock.peak_bytes(s)} for m, s in steps.items()]
        tokens = config.batch * config.tokens
        return timed(config, steps, tokens=tokens)


def timed(config: Config, calls: dict[str, Callable[[], Any]], *, tokens: int) -> list[Record]:
    """Each call's times over ours of the same round, and its tokens a second."""
    times = clock.compare(calls, repeats=config.repeats, warmup=2)
    return [
        {
            "model": model,
            "repeat": repeat,
            "relative": seconds / ours,
            "tokens_per_second": tokens / seconds,
        }
        for model, all_seconds in times.items()
        for repeat, (seconds, ours) in enumerate(zip(all_seconds, times[OURS], strict=True))
    ]


# Training


def training_steps(config: Config, point: Record) -> dict[str, Callable[[], None]]:
    """A step of each library's model of the size, on the same tokens."""
    _, layers, d_model, heads = next(s for s in config.sizes if s[0] == point["size"])
    # with biases where x-transformers has them; GPT-2 and torch have some more, within the 1 %
    shape = replace(
        gpt(layers, d_model, heads, context=config.tokens),
        vocab=VOCAB,
        activation="gelu",
        biases="feed-forward",
    )
    ids = torch.randint(VOCAB, (config.batch, config.tokens + 1))
    return {
        name: training_step(model, ids, compiled=point.get("mode") == "compiled")
        for name, model in models(shape).items()
    }


def training_step(model: nn.Module, ids: Tensor, *, compiled: bool = False) -> Callable[[], None]:
    """A call that makes one step: forward, backward, optimiser."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    called = torch.compile(model) if compiled else model

    def step() -> None:
        optimizer.zero_grad()
        logits = called(ids[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()

    return step


def models(shape: TransformerShape) -> dict[str, nn.Module]:
    """A model of each library, of that shape.

    Raises:
        RuntimeError: where the parameters of a peer differ from ours by more than 1 %.
    """
    made = {
        OURS: Decoder(shape),
        "transformers": Gpt2(shape),
        "x-transformers": x_transformer(shape),
        "torch": TorchEncoder(shape),
    }
    for name, model in made.items():
        count, ours = (
            sum(p.numel() for p in model.parameters()),
            sum(parameters.decoder(shape).values()),
        )
        if abs(count / ours - 1) > 0.01:
            raise RuntimeError(f"{name}: {count} parameters, and ours has {ours}")
    return made


class Gpt2(nn.Module):
    """GPT-2 of `transformers`, with PyTorch's fused attention, giving logits."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=shape.vocab,
            n_positions=shape.context,
            n_embd=shape.d_model,
            n_layer=shape.layers,
            n_head=shape.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="sdpa",
        )
        self.model = GPT2LMHeadModel(config)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits; the cache, which training does not need, is switched off."""
        return self.model(ids, use_cache=False).logits


def x_transformer(shape: TransformerShape) -> nn.Module:
    """The decoder of `x-transformers`, with its fused attention and biases as in GPT-2."""
    with warnings.catch_warnings():  # it scripts a function at import, as torch now advises against
        warnings.simplefilter("ignore", DeprecationWarning)
        import x_transformers

    layers = x_transformers.Decoder(
        dim=shape.d_model,
        depth=shape.layers,
        heads=shape.heads,
        attn_dim_head=shape.d_head,
        attn_flash=True,
    )
    return x_transformers.TransformerWrapper(
        num_tokens=shape.vocab,
        max_seq_len=shape.context,
        attn_layers=layers,
        tie_embedding=True,
    )


class TorchEncoder(nn.Module):
    """PyTorch's own Transformer layers with a causal mask, between our embedding and output."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            shape.d_model,
            shape.heads,
            shape.d_ff,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.embedding = nn.Embedding(shape.vocab, shape.d_model)
        self.positions = nn.Parameter(0.02 * torch.randn(shape.context, shape.d_model))
        self.layers = nn.TransformerEncoder(
            layer, shape.layers, norm=nn.LayerNorm(shape.d_model), enable_nested_tensor=False
        )
        mask = nn.Transformer.generate_square_subsequent_mask(shape.context)
        self.register_buffer("mask", mask)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits, by the table of token vectors."""
        tokens = ids.shape[1]
        x = self.embedding(ids) + self.positions[:tokens]
        x = self.layers(x, mask=self.mask[:tokens, :tokens], is_causal=True)
        return F.linear(x, self.embedding.weight)


# Generation


def writing(config: Config, point: Record) -> list[Record]:
    """Tokens a second, and what share that is of what the bandwidth allows."""
    layers, d_model, heads = config.written
    shape = replace(
        gpt(layers, d_model, heads, context=config.prompt + config.new_tokens), vocab=VOCAB
    )
    ours, theirs = Decoder(shape).eval(), Gpt2(shape).model.eval()
    ids = torch.randint(VOCAB, (point["batch"], config.prompt))
    calls = {
        OURS: partial(generation.generate, ours, ids, tokens=config.new_tokens),
        "transformers": partial(
            theirs.generate,
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=config.new_tokens,
            min_new_tokens=config.new_tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        ),
    }
    bound = bytes_per_second() / sum(p.numel() * p.element_size() for p in ours.parameters())
    records = timed(config, calls, tokens=config.new_tokens)
    return [row | {"bound_share": row["tokens_per_second"] / bound} for row in records]


def bytes_per_second(*, rows: int = 16384, repeats: int = 5) -> float:
    """How fast this machine reads a matrix of 512 MB (by default) to multiply it by a vector."""
    matrix, vector = torch.randn(rows, 8192), torch.randn(8192)
    times = clock.seconds(lambda: torch.mv(matrix, vector), repeats=repeats)
    return matrix.numel() * matrix.element_size() / sorted(times)[len(times) // 2]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


# What was found


def table(results: Results) -> list[Record]:
    """One row for each comparison: how much each peer takes, as a multiple of ours.

    Times are means with their interval over the rounds; memory is exact, and so are its bounds.
    """
    rows = []
    for row in results.where(task="memory").records():
        ours = results.where(task="memory", size=row["size"], model=OURS)
        ratio = row["peak_bytes"] / int(ours.column("peak_bytes")[0])
        what = {"task": "memory", "of": row["size"], "model": row["model"]}
        rows.append(what | {"mean": ratio, "low": ratio, "high": ratio})
    for task, by in (("training", ["mode", "size"]), ("writing", ["batch"])):
        for row in results.where(task=task).summary("relative", by=[*by, "model"]):
            of = " ".join(str(row[name]) for name in by)
            bounds = {name: row[name] for name in ("mean", "low", "high")}
            rows.append({"task": task, "of": of, "model": row["model"]} | bounds)
    return [row for row in rows if row["model"] != OURS]


def findings(results: Results) -> dict[str, str]:
    """How many times as long, or as much memory, each peer takes, and the nearest of them."""
    found = {"repeats": str(len(set(results.where(task="writing").column("repeat"))))}
    nearest: dict[str, Record] = {}
    for row in table(results):
        name = f"{row['task']}_{row['of']}".lower().replace(" ", "_").replace(".", "_")
        peer = row["model"].replace("-", "_")
        found[f"{name}_{peer}"] = wording.with_bounds(row["mean"], row["low"], row["high"])
        if name not in nearest or row["mean"] < nearest[name]["mean"]:
            nearest[name] = row
    for name, row in nearest.items():
        found[f"{name}_nearest"] = wording.with_bounds(row["mean"], row["low"], row["high"])
        found[f"{name}_nearest_model"] = row["model"]
    for row in results.where(task="writing", model=OURS).summary("bound_share", by="batch"):
        found[f"writing_{row['batch']}_bound"] = wording.percent(row["mean"])
    for row in results.where(task="writing", model=OURS).summary("tokens_per_second", by="batch"):
        found[f"writing_{row['batch']}_tokens"] = wording.two_digits(row["mean"] * row["batch"])
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import speed_vs_peers

    results.main(speed_vs_peers)
