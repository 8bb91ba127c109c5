from skep.engine.events import ContainerEvent, parse_event

DIE = (
    b'{"status":"die","id":"abc","from":"busybox","Type":"container","Action":"die","Actor":'
    b'{"ID":"abc","Attributes":{"containerExitCode":"137","exitCode":"137","image":"busybox",'
    b'"name":"z35"}},"scope":"local","time":1795221000,"timeNano":1795221000613479280}'
)


def test_a_death():
    event = parse_event(DIE)
    assert (event.id, event.action, event.exit_code) == ("abc", "die", 137)
    assert abs(event.time - 1795221000.613479) < 1e-5
    assert event.attributes["name"] == "z35"


def test_what_other_engines_leave_out():
    line = b'{"status":"start","id":"abc","time":1795221000}'
    assert parse_event(line) == ContainerEvent(id="abc", action="start", time=1795221000.0)
