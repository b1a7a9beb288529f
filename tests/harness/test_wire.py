import io

from hypothesis import given
from hypothesis import strategies as st

from bench.harness import wire

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


class Kept(io.BytesIO):
    def close(self):
        self.seek(0)


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=4), st.integers(0, 40))
def test_what_is_sent_is_received_and_what_is_torn_is_the_end(messages, cut):
    stream = Kept()
    channel = wire.Channel(stream)
    for message in messages:
        channel.send(message)
    data = stream.getvalue()
    whole = io.BytesIO(data)
    assert [wire.receive(whole) for _ in messages] == messages
    assert wire.receive(whole) is None
    torn = io.BytesIO(data[: max(0, len(data) - cut)])
    received = []
    while (message := wire.receive(torn)) is not None:
        received.append(message)
    assert received == messages[: len(received)] and (cut == 0 or not messages or received != messages)


def test_nonsense_is_the_end():
    assert wire.receive(io.BytesIO(b"\xff\xff\xff\xff rest")) is None
    assert wire.receive(io.BytesIO(b"\x00\x00\x00\x02[]")) is None
    assert wire.receive(io.BytesIO(b"\x00\x00\x00\x03{,}")) is None
