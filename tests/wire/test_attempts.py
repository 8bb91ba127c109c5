from skep.wire.attempts import LIMIT, REMEMBERED, WINDOW, Attempts


def test_an_address_may_fail_a_few_times_a_minute():
    attempts = Attempts()
    for number in range(LIMIT):
        assert attempts.wait("10.0.0.1", float(number)) == 0.0
        attempts.failed("10.0.0.1", float(number))
    assert attempts.wait("10.0.0.1", 10.0) == WINDOW - 10.0
    assert attempts.wait("10.0.0.2", 10.0) == 0.0
    assert attempts.wait("10.0.0.1", WINDOW) == 0.0
    attempts.failed("10.0.0.1", WINDOW)
    assert attempts.wait("10.0.0.1", WINDOW) == 1.0


def test_memory_is_bounded():
    attempts = Attempts()
    for _ in range(LIMIT):
        attempts.failed("10.0.0.1", 0.0)
    for number in range(REMEMBERED):
        attempts.failed(f"host{number}", 0.0)
    assert attempts.wait("10.0.0.1", 0.0) == 0.0
