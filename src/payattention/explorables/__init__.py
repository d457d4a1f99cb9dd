"""Figures that a reader can play with: in Jupyter, in Colab, and on a page with no kernel.

Each is a class here, a module ``<name>.mjs`` beside it, and what they share in
``figure.mjs``, ``decoder.mjs``, ``loading.mjs``, ``quantities.mjs``, ``cost.mjs``, ``laws.mjs``,
``rules.mjs`` and ``pruning.mjs``.
``bundle`` turns the modules into what Jupyter loads and what a static page loads.
"""

from payattention.explorables.attention_map import AttentionMap
from payattention.explorables.bertviz import HeadView, ModelView, NeuronView
from payattention.explorables.between import Between
from payattention.explorables.bill import Bill
from payattention.explorables.budget import Budget
from payattention.explorables.crowding import Crowding
from payattention.explorables.depths import Depths
from payattention.explorables.explorable import Explorable
from payattention.explorables.fading import Fading
from payattention.explorables.fleet import Fleet
from payattention.explorables.halting_machine import HaltingMachine
from payattention.explorables.mixing_map import MixingMap
from payattention.explorables.pattern import Pattern
from payattention.explorables.pruner import Pruner
from payattention.explorables.softmax import Softmax
from payattention.explorables.writer import Writer

__all__ = [
    "AttentionMap",
    "Between",
    "Bill",
    "Budget",
    "Crowding",
    "Depths",
    "Explorable",
    "Fading",
    "Fleet",
    "HaltingMachine",
    "HeadView",
    "MixingMap",
    "ModelView",
    "NeuronView",
    "Pattern",
    "Pruner",
    "Softmax",
    "Writer",
]
