"""What a model must keep to write the next token, in bytes.

Counts the state or the cache of one sequence; weights, activations and the allocator's overhead are
ignored.
"""

from payattention.shape import RecurrentShape, TransformerShape


def recurrent_state_bytes(shape: RecurrentShape, *, bytes_per_number: int = 4) -> int:
    """Bytes that a recurrent layer carries from token to token, after ten as after a million.

    >>> recurrent_state_bytes(RecurrentShape("lstm", d_input=16, d_hidden=32))
    256
    """
    return shape.state_size * bytes_per_number


def kv_cache_bytes(shape: TransformerShape, *, tokens: int, bytes_per_number: int = 2) -> int:
    """Bytes of keys and values kept for `tokens` tokens in all layers: linear in `tokens`.

    >>> from payattention.shape import GPT3
    >>> kv_cache_bytes(GPT3, tokens=1)
    4718592

    Source: Shazeer 2019 (arXiv:1911.02150), section 2.4; the number is 2 x 96 x 12,288 x 2 bytes.
    """
    return 2 * shape.layers * shape.kv_heads * shape.d_head * tokens * bytes_per_number
