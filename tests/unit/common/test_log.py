from common.log import redact


def test_secrets_and_texts_are_blanked_at_any_depth():
    line = redact(
        None,
        "info",
        {
            "event": "x",
            "text": "hello",
            "nested": {"password": "p", "ids": ["r_1"]},
            "url": "http://h/chat?s=abc&m=hi",
            "db": "mongodb://user:pass@h/chat",
            "note": "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2ln there",
        },
    )
    written = str(line)
    for secret in ("hello", "'p'", "abc", "pass@", "eyJ"):
        assert secret not in written
    assert "r_1" in written
