"""What every test starts from: one thread, one seed, the same generated cases each time."""

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile(
    "house", deadline=None, derandomize=True, max_examples=30, database=None
)
hypothesis.settings.load_profile("house")


def pytest_configure(config):
    # One thread: the results are then bit-identical, and the small tensors of the
    # tests are faster for it.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded():
    """A test that draws random numbers draws the same ones alone and in company."""
    torch.manual_seed(0)
