"""The list of slow tests names tests that exist."""

from tests import slow


def test_every_name_is_that_of_a_test(request):
    assert request.config.stash[slow.UNKNOWN] == []
