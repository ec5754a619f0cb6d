"""How long a state has lasted."""

from __future__ import annotations

from buildwright.drivers.kubernetes.startup.patience import Patience


def test_a_state_that_lasts_is_over_after_its_time_and_begins_anew_when_it_was_gone() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    assert patience.due is None
    with patience.asked():
        assert not patience.over("a", 10)
    assert patience.due == 10
    now[0] = 4
    with patience.asked():
        assert not patience.over("a", 10)
        assert not patience.over("b", 1)
    assert patience.due == 1
    now[0] = 10
    with patience.asked():
        assert patience.over("a", 10)
    assert patience.due is None
    with patience.asked():
        pass
    with patience.asked():
        assert not patience.over("a", 10)
