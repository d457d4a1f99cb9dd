"""What Transformers cost, and how to spend less: the library of the book *Paying Attention*.

Each idea is a module: ``from payattention import attention``. Importing the package
itself loads nothing and has no side effects.
"""

__version__ = "0.1.0"
