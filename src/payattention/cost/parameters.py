"""Parameters, part by part.

Counts every trained number of a layer, biases included. Embeddings and output heads are counted
where a function says so.
"""

from payattention.shape import GATES, RecurrentShape


def recurrent(shape: RecurrentShape) -> dict[str, int]:
    """Parameters of one recurrent layer, by part, with PyTorch's two bias vectors for each gate.

    >>> sum(recurrent(RecurrentShape("lstm", d_input=16, d_hidden=32)).values())
    6400
    """
    rows = GATES[shape.cell] * shape.d_hidden
    return {
        "input weights": rows * shape.d_input,
        "state weights": rows * shape.d_hidden,
        "biases": 2 * rows,
    }


def convolution(*, d_model: int, kernel: int, layers: int) -> dict[str, int]:
    """Parameters of a stack of convolutions of equal width, by part; dilation changes nothing.

    >>> sum(convolution(d_model=3, kernel=2, layers=4).values())
    84
    """
    return {"filters": layers * kernel * d_model**2, "biases": layers * d_model}


def attention(*, d_model: int) -> dict[str, int]:
    """Parameters of one attention layer with as many key heads as heads, by part, no biases.

    The number of tokens does not appear: attention over a million tokens has the same weights.

    >>> sum(attention(d_model=36).values())
    5184
    """
    return dict.fromkeys(("queries", "keys", "values", "output"), d_model**2)
