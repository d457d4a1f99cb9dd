"""What a model costs, by arithmetic alone: parameters, operations, memory.

Each module returns dicts keyed by part, which print, sum and plot as they are. Nothing here imports
torch; the tests compare every formula with a count on a real model.
"""
