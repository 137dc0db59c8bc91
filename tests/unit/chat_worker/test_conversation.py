from hypothesis import given
from hypothesis import strategies as st

from chat_worker.runs.conversation import Turn, build_conversation


def count_words(text: str) -> int:
    return len(text.split())


def build(history, question, input_tokens_max=1_000):
    return build_conversation(
        history, question, instructions="be kind", input_tokens_max=input_tokens_max, count=count_words
    )


def test_history_comes_oldest_first_and_the_question_last():
    newest_first = [Turn("second?", "two"), Turn("first?", "one")]
    assert build(newest_first, "third?").input == [
        {"role": "user", "content": "first?"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "second?"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "third?"},
    ]


def test_a_question_without_an_answer_is_sent_without_one():
    assert build([Turn("lost?", "")], "again?").input == [
        {"role": "user", "content": "lost?"},
        {"role": "user", "content": "again?"},
    ]


def test_a_turn_whose_question_cannot_be_read_is_left_out():
    assert build([Turn("second?", "two"), Turn("", "one")], "third?").input == [
        {"role": "user", "content": "second?"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "third?"},
    ]


def test_the_question_goes_even_where_it_alone_is_too_long():
    conversation = build([Turn("old?", "old")], "word " * 50, input_tokens_max=10)
    assert [message["content"] for message in conversation.input] == ["word " * 50]


@given(
    turns=st.lists(st.tuples(st.text(min_size=1, max_size=80), st.text(max_size=80)), max_size=12),
    input_tokens_max=st.integers(min_value=1, max_value=200),
)
def test_what_is_sent_fits_and_is_the_newest_part_of_the_history(turns, input_tokens_max):
    history = [Turn(question, answer) for question, answer in turns]
    conversation = build(history, "now?", input_tokens_max)
    kept = [message["content"] for message in conversation.input if message["role"] == "user"][:-1]
    assert kept == [turn.question for turn in history[: len(kept)]][::-1]
    assert not kept or conversation.input_tokens <= input_tokens_max
