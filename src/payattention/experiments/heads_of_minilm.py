"""What do the heads of a real encoder look at?

From the stored attention maps of MiniLM, eight sentences and 72 heads: the mean weight that each
head gives to the token before, the token after, the token itself, [CLS] and [SEP]. In two of the
sentences, "The animal didn't cross the street because it was too tired" and the same with "wide",
also how "it" shares its attention between the animal and the street. Nothing is drawn at random.
"""

from dataclasses import dataclass, replace

import numpy as np

from payattention import data, wording
from payattention.attention_maps import AttentionMaps
from payattention.records import Record, Results

TOLERANCE = dict.fromkeys(
    ("previous", "next", "itself", "cls", "sep", "it_to_animal", "it_to_street"), 1e-6
)
NAMES = {0: "tired", 1: "wide"}


@dataclass(frozen=True)
class Config:
    """How many of the stored sentences, and the heads that are told one by one."""

    sentences: int = 8
    told: tuple[tuple[int, int], ...] = ((3, 1), (5, 11), (4, 0))


FULL = Config()
LIVE = replace(FULL)


def points(config: Config) -> list[Record]:
    """One run for each sentence."""
    return [{"sentence": number} for number in range(config.sentences)]


def measure(config: Config, point: Record) -> list[Record]:
    """One record for each head of each layer."""
    maps = data.attention_maps()[point["sentence"]]
    looks = {
        "previous": at_distance(maps, -1),
        "next": at_distance(maps, 1),
        "itself": at_distance(maps, 0),
        "cls": maps.weights[..., 0].mean(dim=-1).tolist(),
        "sep": maps.weights[..., -1].mean(dim=-1).tolist(),
    }
    layers, heads = maps.weights.shape[:2]
    pair = point["sentence"] in NAMES
    return [
        {"layer": layer, "head": head}
        | {name: rows[layer][head] for name, rows in looks.items()}
        | {
            f"it_to_{noun}": maps.weight(layer, head, "it", noun) if pair else None
            for noun in ("animal", "street")
        }
        for layer in range(layers)
        for head in range(heads)
    ]


def at_distance(maps: AttentionMaps, offset: int) -> list[list[float]]:
    """The mean weight that each head of each layer gives to the token `offset` places on."""
    return maps.weights.diagonal(offset, dim1=-2, dim2=-1).mean(dim=-1).tolist()


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """The heads with a habit, [CLS] by layer, and what "it" looks at in the two sentences."""
    layers = set(results.column("layer").tolist())
    found = {"heads": str(len(results.where(sentence=0))), "layers": str(len(layers))}
    for name in ("previous", "next", "itself"):
        means = results.summary(name, by=["layer", "head"])
        best = max(means, key=lambda row: row["mean"])
        of_head = results.where(layer=best["layer"], head=best["head"]).column(name)
        found[f"{name}_layer"], found[f"{name}_head"] = str(best["layer"]), str(best["head"])
        found[f"{name}_share"] = wording.percent(best["mean"], digits=1)
        found[f"{name}_least"] = wording.percent(float(of_head.min()), digits=1)
    for token in ("cls", "sep"):
        found[f"{token}_share"] = wording.percent(float(results.column(token).mean()))
        for row in results.summary(token, by="layer"):
            found[f"{token}_layer_{row['layer']}"] = wording.percent(row["mean"])
    return found | _pronoun(results)


def _pronoun(results: Results) -> dict[str, str]:
    found: dict[str, str] = {}
    leans = {}
    for number, name in NAMES.items():
        pair = results.where(sentence=number)
        if not len(pair):
            return found
        nouns = {noun: pair.column(f"it_to_{noun}") for noun in ("animal", "street")}
        leans[name] = nouns["animal"] > nouns["street"]
        found[f"{name}_animal_heads"] = str(int(leans[name].sum()))
        for noun, shares in nouns.items():
            found[f"{name}_{noun}"] = wording.percent(float(shares.mean()), digits=1)
            for layer, head in Config.told:
                one = pair.where(layer=layer, head=head).column(f"it_to_{noun}")
                found[f"{name}_{noun}_{layer}_{head}"] = wording.percent(float(one[0]))
    found["turning_heads"] = str(int(np.sum(leans["tired"] & ~leans["wide"])))
    found["turning_back"] = str(int(np.sum(~leans["tired"] & leans["wide"])))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import heads_of_minilm

    results.main(heads_of_minilm)
