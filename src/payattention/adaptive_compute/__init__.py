"""Adaptive compute: spend on each input what it needs, and leave the rest uncomputed.

Four families in one notation. What is computed again and again, or layer by layer, has a *depth*:
how many rounds, or layers, a row took part in. A row *halts* when it has had enough. What is paid
for depth while learning is a *cost*; what was executed is counted as `flops`, by part.

`halting`     one cell or one block, repeated: ACT and PonderNet
`repeated`    what they repeat: a recurrent cell, or a shared Transformer block
`early_exit`  leave a deep model by a door behind one of its layers
`depth_routing`  each block takes only some of the tokens: Mixture-of-Depths
`calculator`  the limit: hand the problem to something that is not a network

Each has a plain form, which computes everything and masks it, and a fast one, which computes only
what is still needed; they agree.
"""
