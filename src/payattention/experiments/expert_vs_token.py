"""What does an expert know about?

Decoders with 8 experts a layer, one of which each character uses, read Shakespeare as in
`loss_vs_experts`, with a balance. Then, on validation text: what kind of characters each expert of
the last layer is given, and how many bits the choice of the expert tells about the character that
is read, about the one that comes next, and about the place in the text; `of itself` is the bits of
the choice, which the others cannot exceed. Beside the trained model stand the same model with a
router drawn anew, for any map of the stream sorts it somehow, and the whole model untrained.

Bits are those of counts, less what counts of independent things would give on average: (rows - 1)
(columns - 1) / (2 N ln 2), of rows and columns that occur (Miller 1955).
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from payattention import data, experts, wording
from payattention.experiments import loss_vs_experts
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.transformer import Decoder

DESIGN = "8 experts"
ROUTERS = ("trained", "drawn anew", "untrained")
ABOUT = ("read", "next", "place", "of itself")
TOLERANCE = {"bits": 0.05, "share": 0.05, "load": 0.05}


@dataclass(frozen=True)
class Config:
    """How the models are trained, and how many stretches are looked at."""

    tests: int = 512
    runs: loss_vs_experts.Config = loss_vs_experts.FULL
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, tests=64, runs=replace(loss_vs_experts.LIVE, steps=200), seeds=1)


def kind(character: str) -> str:
    """What kind of character it is.

    >>> [kind(character) for character in "aBc ;"]
    ['vowel', 'capital', 'consonant', 'space', 'punctuation']
    """
    if character.isspace():
        return "newline" if character == "\n" else "space"
    if character.isupper():
        return "capital"
    if character.isalpha():
        return "vowel" if character in "aeiou" else "consonant"
    return "punctuation"


KINDS = ("vowel", "consonant", "capital", "space", "newline", "punctuation")


def points(config: Config) -> list[Record]:
    """One for each seed untrained, which is cheap, and then trained."""
    return [
        {"trained": trained, "seed": seed}
        for trained in (False, True)
        for seed in range(config.seeds)
    ]


def information(first: Int[Tensor, " n"], second: Int[Tensor, " n"]) -> float:
    """Bits that one tells about the other; 0 on average where they are independent.

    >>> coins = torch.tensor([0, 0, 1, 1]).repeat(1000)
    >>> round(information(coins, coins), 3), round(information(coins, 1 - coins), 3)
    (1.0, 1.0)
    """
    counts = torch.zeros(int(first.max()) + 1, int(second.max()) + 1, dtype=torch.double)
    counts.index_put_((first, second), torch.ones(len(first)).double(), accumulate=True)
    counts = counts[counts.any(dim=1)][:, counts.any(dim=0)]
    joint = counts / counts.sum()
    apart = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0)
    bits = torch.special.xlogy(joint, joint / apart).sum().item() / math.log(2)
    by_chance = (len(counts) - 1) * (counts.shape[1] - 1) / (2 * len(first) * math.log(2))
    return bits - by_chance


def entropy(load: Float[Tensor, " experts"]) -> float:
    """Bits of a choice with these shares."""
    return -torch.special.xlogy(load, load).sum().item() / math.log(2)


def measure(config: Config, point: Record) -> list[Record]:
    """Of each router: what its choices tell, and the kinds of characters of each expert."""
    runs, seed = config.runs, point["seed"]
    draw = data.language_batches("validation", batch=config.tests, context=runs.tokens)
    text = draw(torch.Generator().manual_seed(0))
    if not point["trained"]:
        return looked_at(loss_vs_experts.build(runs, DESIGN, seed), text, "untrained")
    model, _ = loss_vs_experts.trained(runs, DESIGN, steps=runs.steps, seed=seed, looks=1)
    records = looked_at(model, text, "trained")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20_000 + seed)
        for layer in experts.experts_of(model):
            nn.init.normal_(layer.router.weight, std=layer.router.weight.std().item())
    return records + looked_at(model, text, "drawn anew")


@torch.no_grad()
def looked_at(model: Decoder, text: tuple[Tensor, Tensor], router: str) -> list[Record]:
    """What the experts of every layer tell, and which characters those of the last are given."""
    model.eval()(text[0])
    places = torch.arange(text[0].shape[1]).expand_as(text[0])
    about = {"read": text[0], "next": text[1], "place": places}
    records: list[Record] = []
    for number, layer in enumerate(experts.experts_of(model)):
        chosen, load = layer.routing.experts[:, 0], layer.routing.load
        told = {name: information(chosen, of.flatten()) for name, of in about.items()}
        told["of itself"] = entropy(load)
        records += [
            {"router": router, "layer": number, "about": name, "bits": bits}
            for name, bits in told.items()
        ]
    kinds = torch.tensor([KINDS.index(kind(character)) for character in data.VOCABULARY])
    read = kinds[text[0].flatten()]
    for expert in range(len(load)):
        counts = torch.bincount(read[chosen == expert], minlength=len(KINDS)).double()
        shares = (counts / counts.sum().clamp(min=1)).tolist()
        records += [
            {"router": router, "expert": expert, "load": load[expert].item()}
            | {"kind": name, "share": share}
            for name, share in zip(KINDS, shares, strict=True)
        ]
    return records


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def purest(results: Results, router: str, seed: int) -> Record:
    """Of the last layer's experts with a tenth of an equal share or more, the most one-sided."""
    rows = results.where(router=router, seed=seed)
    rows = [row for row in rows.records() if row["kind"] is not None]
    least = 0.1 / len({row["expert"] for row in rows})
    return max((row for row in rows if row["load"] >= least), key=lambda row: row["share"])


def findings(results: Results) -> dict[str, str]:
    """What the text says: bits of each router by layer, gains over a drawn one, pure experts."""
    seeds = sorted(set(results.column("seed").tolist()))
    told = [row for row in results.records() if row["about"] is not None]
    table = Results.from_records(results.question, told)
    last = max(table.column("layer").tolist())
    found = {"seeds": str(len(seeds)), "last_layer": str(last + 1)}
    for row in table.summary("bits", by=("router", "layer", "about")):
        name = f"{row['router']}_{row['layer'] + 1}_{row['about']}".replace(" ", "_")
        found[name] = wording.of_runs(row)
    if len(seeds) > 1:
        for about in ("read", "next", "place"):
            of = table.where(layer=last, about=about)
            first, second = (of.where(router=r).column("bits") for r in ROUTERS[:2])
            more = paired_interval(first, second)
            found[f"more_{about}"] = wording.with_bounds(more.value, more.low, more.high)
    for router in ROUTERS:
        best = [purest(results, router, seed) for seed in seeds]
        shares = sorted(row["share"] for row in best)
        name = router.replace(" ", "_")
        found[f"{name}_purest_least"] = wording.percent(shares[0])
        found[f"{name}_purest_most"] = wording.percent(shares[-1])
        found[f"{name}_purest_kinds"] = ", ".join(dict.fromkeys(row["kind"] for row in best))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import expert_vs_token

    results.main(expert_vs_token)
