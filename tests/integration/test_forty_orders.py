"""Forty orders over ten environments at once, with an executor whose work takes time."""

from tests.bench.crowd import ORDERS, forty_orders


async def test_all_end_well_and_never_two_at_a_time_on_one_environment() -> None:
    found = await forty_orders()
    assert (found["orders"], found["failed"], found["overlaps"]) == (ORDERS, 0, 0)
