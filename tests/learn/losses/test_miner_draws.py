"""Every miner with every loss in 500 draws; test_miners.py tries three. It takes minutes, and CI leaves it out."""

import pytest

from tests.learn.losses.test_miners import NAMES, assert_goes_with_all_losses, needs_theirs


@pytest.mark.slow
@needs_theirs
@pytest.mark.parametrize("name", NAMES)
def test_goes_with_all_losses_in_500_draws(name: str) -> None:
    assert_goes_with_all_losses(name, 500)
