"""Filters in both JSON forms."""

import pytest

from skep.api.filters import Filters, moment
from skep.model.errors import Invalid


def parse(text):
    return Filters.parse(text, ("name", "label", "dangling"))


@pytest.mark.parametrize("text", ['{"name":{"web":true,"db":true}}', '{"name":["web","db"]}'])
def test_both_forms(text):
    filters = parse(text)
    assert set(filters.get("name")) == {"web", "db"}
    assert "name" in filters
    assert "label" not in filters


@pytest.mark.parametrize("text", ["", "{}", '{"name":{}}', '{"name":null}'])
def test_nothing_wanted_is_everything(text):
    assert parse(text).exact("name", "anything")


def test_unknown_key():
    with pytest.raises(Invalid, match=r"^invalid filter 'bogus'$"):
        parse('{"bogus":["x"]}')


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"name":5}'])
def test_malformed(text):
    with pytest.raises(Invalid, match=r"^invalid filters: "):
        parse(text)


def test_ways_to_match():
    filters = parse('{"name":["web"]}')
    assert filters.exact("name", "web")
    assert not filters.exact("name", "web2")
    assert filters.prefix("name", "web2")
    assert not filters.prefix("name", "my-web")
    assert filters.matches("name", "my-web-2")
    assert parse('{"name":["^we.$"]}').matches("name", "web")
    assert not parse('{"name":["^we.$"]}').matches("name", "web2")
    assert parse('{"name":["a["]}').matches("name", "xa[y")


def test_labels_must_all_fit():
    filters = parse('{"label":["a","b=c"]}')
    assert filters.labels("label", {"a": "", "b": "c"})
    assert not filters.labels("label", {"a": "", "b": "d"})
    assert not filters.labels("label", {"b": "c"})
    assert not filters.without_labels("label", {"a": ""})
    assert filters.without_labels("label", {"z": ""})


def test_booleans():
    assert parse('{"dangling":["1"]}').truth("dangling") is True
    assert parse('{"dangling":["false"]}').truth("dangling") is False
    assert parse("{}").truth("dangling") is None
    with pytest.raises(Invalid, match=r"invalid filter 'dangling=\[maybe\]'"):
        parse('{"dangling":["maybe"]}').truth("dangling")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 400.0),
        ("1h30m", -4400.0),
        ("1700000000.5", 1700000000.5),
        ("1970-01-01", 0.0),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_moments(text, seconds):
    assert moment(text, 1000.0) == seconds


def test_what_is_no_moment():
    with pytest.raises(Invalid, match="neither a time nor a duration"):
        moment("soon", 1000.0)
