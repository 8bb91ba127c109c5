from skep.agent.news import News
from skep.model.errors import Broken


def test_a_refusal_is_news_once_per_thing_until_it_is_another():
    news = News()
    assert news.has("a", Broken("full"))
    assert not news.has("a", Broken("full"))
    assert news.has("b", Broken("full"))
    assert news.has("a", Broken("gone"))
    assert news.has("a", Broken("full"))
    news.well("a")
    assert news.has("a", Broken("full"))
    assert not news.has("b", Broken("full"))
