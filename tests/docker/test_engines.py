"""How two engines' answers are compared, and the list of differences judged."""

from engines import Step, comparable, differences, facts, judged, kept, read

STEPS = read("# words\n\nnetwork ls\n~volume ls\n%inspect a\n!ls /\n")


def test_a_script_has_commands_with_marks():
    assert [
        Step("", "network ls"), Step("~", "volume ls"), Step("%", "inspect a"), Step("!", "ls /"),
    ] == STEPS  # fmt: skip


def test_what_is_made_up_is_replaced():
    made = "x 3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed at 02:42:ac:11:00:02"
    assert comparable(made) == ["x <id> at <mac>"]
    assert comparable("172.17.0.9 172.17.0.1 10.1.0.9") == ["172.17.0.<n> 172.17.0.1 10.1.0.9"]
    assert comparable("Up 3 seconds, 2026-11-21T09:34:21.9Z") == ["Up <while>, <time>"]


def test_json_is_compared_by_its_leaves():
    shown = facts("%", '{"b": [], "a": {"c": [1, 2]}}')
    assert shown == [".a.c[] = 1", ".a.c[] = 2", ".b = []"]


def test_a_refusal_instead_of_json_stays_words():
    assert facts("%", "no such thing\n") == ["no such thing"]


def test_differing_lines_say_whose_they_are():
    assert differences(["a", "b"], ["a", "c"]) == ["- b", "+ c"]


LIST = """
words
```differences
network * :: - b
volume ls :: + *
```
"""


def test_the_list_covers_what_it_names():
    compared = [(STEPS[0], ["- b"]), (STEPS[1], ["+ anything"])]
    assert judged(compared, kept(LIST)) == ([], [])


def test_a_difference_that_is_not_listed_is_told():
    compared = [(STEPS[0], ["- b", "+ b"]), (STEPS[1], ["+ c"])]
    assert judged(compared, kept(LIST)) == (["network ls :: + b"], [])


def test_an_entry_without_a_difference_is_told():
    assert judged([(STEPS[0], ["- b"])], kept(LIST)) == ([], ["volume ls :: + *"])
