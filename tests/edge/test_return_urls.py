"""return_url: exact origins of the allow-list, and nothing that a browser might read differently than we do."""

from __future__ import annotations

from tests.kit.answers import assert_problem, nothing_changes, order_body
from tests.kit.cinema import Cinema

FORBIDDEN = [
    "https://evil.test/",
    "https://cinema.test/",  # https is another origin than the http that is allowed
    "http://cinema.test:8080/",
    "http://cinema.test.evil.test/",
    "http://evil.test/?http://cinema.test/",
    "http://evil.test#http://cinema.test/",
    "//cinema.test/thanks",
    "///cinema.test/thanks",
    "/thanks/you",
    "http:/cinema.test/",
    "http:cinema.test/",
    "http:///cinema.test/",
    "http://cinema.test@evil.test/",
    "http://user@cinema.test/",
    "http://user:secret@cinema.test/",
    "http://:@cinema.test/",
    "http://@cinema.test/",
    "http://cinema.test\\@evil.test/",
    "http:\\\\cinema.test/",
    "http://evil.test\\.cinema.test/",
    "http://cinema.test\t/",
    "http://cinema.test\n/",
    "http://cinema.test/\r\nSet-Cookie: a=b",
    " http://cinema.test/",
    "http://cinema.test/ ",
    "http://cinema.test/\x00",
    "http://cinema.test/\x7f",
    "http://cinema.test/\u2028",
    "http://c\u0456nema.test/",  # a Cyrillic letter that looks like ours
    "http://xn--cnema-jva.test/",
    "http://cinema\u3002test/",  # an ideographic full stop, which browsers take for a dot
    "http://cinema.test:port/",
    "http://cinema.test:99999/",
    "http://cinema.test./",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://127.0.0.1/",
    "javascript:alert(1)",
    "javascript://cinema.test/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "........",
]


async def test_a_return_url_elsewhere_is_refused_before_anything_is_written(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for url in FORBIDDEN:
            answer = await cinema.call("POST", "/v1/orders", order_body(return_url=url))
            assert answer.status_code == 422, f"{url!r} was taken: {answer.status_code} {answer.text}"
            # A text with a NUL is refused before anything reads it as an address.
            assert_problem(answer, "body_invalid" if "\0" in url else "return_url_forbidden")


async def test_a_page_of_the_cinema_may_be_returned_to(cinema: Cinema) -> None:
    for url in (
        "http://cinema.test/",
        "http://cinema.test/a?b=c#d",
        "http://CINEMA.test/x",
        "http://cinema.test",
    ):
        answer = await cinema.call("POST", "/v1/orders", order_body(return_url=url))
        assert answer.status_code == 201, f"{url}: {answer.text}"


async def test_an_endless_return_url_does_not_fit(cinema: Cinema) -> None:
    url = "http://cinema.test/" + "a" * 2048
    answer = await cinema.call("POST", "/v1/orders", order_body(return_url=url))
    assert [error["at"] for error in assert_problem(answer, "body_invalid")["errors"]] == ["return_url"]
