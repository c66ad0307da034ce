"""Requests that come together are read together, and none takes another one with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from threading import current_thread

import pytest

from genner.errors import ConfigError, DataFormatError
from genner.prediction.results import TextInput, TextResult
from genner.serving.limits import Limits, RefusedError
from genner.serving.service import Service
from genner.serving.turns import Speed
from tests.serving.conftest import GatedReader, found_figs


def texts(*given: str) -> list[TextInput]:
    return [TextInput(text, str(number)) for number, text in enumerate(given)]


def with_service(
    reader: GatedReader, work: Callable[[Service], Awaitable[None]], limits: Limits | None = None
) -> Service:
    """Let some work run beside an opened service."""

    async def run() -> Service:
        service = Service(lambda: reader, "a model", limits)
        await service.open()
        await work(service)
        return service

    return asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def begin(service: Service, *given: str) -> asyncio.Task[list[TextResult]]:
    return asyncio.ensure_future(service.predict(texts(*given)))


def test_what_waits_while_a_batch_is_read_is_the_next_batch() -> None:
    reader = GatedReader(is_open=False)

    async def work(service: Service) -> None:
        first = begin(service, "plum")
        await until(lambda: len(reader.batches) == 1)
        others = [begin(service, f"fig {number}", f"{number} fig") for number in range(20)]
        await asyncio.sleep(0.05)
        reader.gate.set()
        assert [result.text for result in await first] == ["plum"]
        for number, other in enumerate(others):
            results = await other
            assert [result.text for result in results] == [f"fig {number}", f"{number} fig"]
            assert [result.id for result in results] == ["0", "1"]
            assert [[entity.start for entity in result] for result in results] == [[0], [len(f"{number} ")]]

    service = with_service(reader, work, Limits(batch_texts=32))
    assert [len(batch) for batch in reader.batches] == [1, 32, 8]
    assert len(reader.threads) == 1
    assert reader.threads != {"MainThread"}
    assert b'genner_entities_total{type="FRUIT"} 40.0' in service.metrics.text()
    assert b"genner_batch_texts_sum 41.0" in service.metrics.text()


def test_requests_take_turns_text_by_text() -> None:
    reader = GatedReader(is_open=False)

    async def work(service: Service) -> None:
        first = begin(service, "plum")
        await until(lambda: len(reader.batches) == 1)
        full = begin(service, *[f"a{number} {'fig ' * 300}" for number in range(6)])
        late = [begin(service, f"{name} fig") for name in "bc"]
        await asyncio.sleep(0.05)
        reader.gate.set()
        await asyncio.gather(first, full, *late)

    with_service(reader, work)  # 1000 words in a batch, to begin with
    assert [text[:2].strip() for text in reader.batches[1]] == ["a0", "b", "c", "a1", "a2"]
    assert sorted(text[:2] for batch in reader.batches[2:] for text in batch) == ["a3", "a4", "a5"]


def test_a_long_text_is_read_beside_the_batches() -> None:
    class Slow(GatedReader):
        """Reads a long text only when all others have been read."""

        def stream(self, inputs, *, progress=None):
            inputs = list(inputs)
            if "long" in inputs[0].text:
                assert self.gate.wait(30)
                assert len(inputs) == 1
                self.threads.add(current_thread().name)
                return iter([found_figs(inputs[0])])
            return self.always.stream(inputs, progress=progress)

    reader = Slow(is_open=False)
    reader.always = GatedReader()

    async def work(service: Service) -> None:
        long = begin(service, "long fig " * 2000)
        for number in range(5):
            assert len((await service.predict(texts(f"fig {number}")))[0]) == 1
        assert not long.done()
        reader.gate.set()
        assert [len(result) for result in await long] == [2000]

    with_service(reader, work)
    assert reader.threads.isdisjoint(reader.always.threads)


def test_a_batch_is_as_large_as_can_be_read_in_time() -> None:
    speed = Speed(0.5)
    assert speed.n_words == 1000
    for _ in range(20):
        speed.measured(12, 0.2)  # one sentence says little
    assert speed.n_words == 1000
    for _ in range(50):
        speed.measured(speed.n_words, speed.n_words / 4000)
    assert 1990 <= speed.n_words <= 2000
    for _ in range(50):
        speed.measured(speed.n_words, speed.n_words / 20)
    assert speed.n_words == 1000
    for _ in range(50):
        speed.measured(10**9, 1.0)
    assert speed.n_words == 20_000


def test_words_are_counted_before_anything_is_read() -> None:
    reader = GatedReader()

    async def work(service: Service) -> None:
        with pytest.raises(RefusedError, match=r"^12 words in the first 2 of 3 texts\. Expected at most") as refused:
            await service.predict(texts("a " * 6, "b " * 6, "c"))
        assert refused.value.status == 413
        with pytest.raises(RefusedError, match=r"^11 words\. Expected at most 10 in a request\. Split the text\."):
            await service.predict(texts("a " * 11))
        assert len(await service.predict(texts("a " * 10))) == 1
        assert b"genner_queue_texts 0.0" in service.metrics.text()

    with_service(reader, work, Limits(max_words=10))
    assert len(reader.batches) == 1


def test_reading_ends_once_nobody_waits() -> None:
    class Counting(GatedReader):
        n_found = 0

        def stream(self, inputs, *, progress=None):
            inputs = list(inputs)
            if inputs[0].id == "first":
                return iter(inputs)
            self.batches.append([given.text for given in inputs])
            for number in range(1000):
                time.sleep(0.01)
                self.n_found = number
                progress(number / 1000, number)
            return map(found_figs, inputs)

    reader = Counting()

    async def work(service: Service) -> None:
        with pytest.raises(RefusedError, match="Not processed within"):
            await service.predict(texts("fig"))
        await service.close()
        assert b'genner_texts_total{outcome="read"} 0.0' in service.metrics.text()

    with_service(reader, work, Limits(timeout=0.1))
    assert reader.n_found < 900


def test_a_full_queue_refuses_whole_requests() -> None:
    reader = GatedReader(is_open=False)

    async def work(service: Service) -> None:
        first = begin(service, "plum")
        await until(lambda: len(reader.batches) == 1)
        waiting = begin(service, "a", "b", "c")
        await asyncio.sleep(0)
        with pytest.raises(RefusedError, match=r"busy: 3 texts are waiting, at most 4 may\. Try again") as refused:
            await service.predict(texts("d", "e"))
        assert refused.value.status == 503
        assert refused.value.retry_after == 1
        fits = begin(service, "f")
        await asyncio.sleep(0.05)
        assert b"genner_queue_texts 4.0" in service.metrics.text()
        reader.gate.set()
        await asyncio.gather(first, waiting, fits)

    with_service(reader, work, Limits(max_texts=4, max_waiting=4))
    assert reader.batches == [["plum"], ["a", "f", "b", "c"]]


def test_a_text_that_nobody_waits_for_is_not_read_and_takes_no_place() -> None:
    reader = GatedReader(is_open=False)

    async def work(service: Service) -> None:
        first = begin(service, "plum")
        await until(lambda: len(reader.batches) == 1)
        gone = begin(service, "a", "b")
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        stays = begin(service, "c", "d")
        await asyncio.sleep(0.05)
        reader.gate.set()
        assert [result.text for result in await stays] == ["c", "d"]
        await first
        assert gone.cancelled()

    with_service(reader, work, Limits(max_texts=2, max_waiting=2))
    assert reader.batches == [["plum"], ["c", "d"]]


def test_a_request_is_given_up_after_a_time() -> None:
    reader = GatedReader(is_open=False)

    async def work(service: Service) -> None:
        with pytest.raises(RefusedError, match=r"Not processed within 0\.05 seconds\. Send less") as refused:
            await service.predict(texts("plum"))
        assert refused.value.status == 504
        reader.gate.set()
        assert len(await service.predict(texts("fig"))) == 1

    with_service(reader, work, Limits(timeout=0.05))


def test_a_text_that_breaks_the_reader_does_not_take_others_with_it(caplog: pytest.LogCaptureFixture) -> None:
    reader = GatedReader()

    async def work(service: Service) -> None:
        good, bad, unreadable = await service.predict(texts("a fig", "break it", "unreadable"))
        assert len(good) == 1
        assert bad.error == "text 1: cannot be read: internal error (KeyError); see the server log"
        assert unreadable.error == "text 2: cannot be read"
        assert b'genner_texts_total{outcome="failed"} 2.0' in service.metrics.text()
        assert len((await service.predict(texts("fig")))[0]) == 1

    with_service(reader, work)
    assert "reading 3 texts failed" in caplog.text
    assert "a fault of the reader" in caplog.text


def test_closing_answers_what_is_there_and_takes_no_more() -> None:
    reader = GatedReader(is_open=False)

    async def work(service: Service) -> None:
        first = begin(service, "plum")
        await until(lambda: len(reader.batches) == 1)
        waiting = begin(service, "fig")
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(service.close())
        await asyncio.sleep(0)
        assert service.state == "draining"
        with pytest.raises(RefusedError, match="shutting down"):
            await service.predict(texts("late"))
        assert not closing.done()
        reader.gate.set()
        assert len((await waiting)[0]) == 1
        await asyncio.gather(first, closing)

    with_service(reader, work)
    assert reader.batches == [["plum"], ["fig"]]


def test_nothing_is_taken_before_the_model_is_there() -> None:
    async def run() -> None:
        service = Service(GatedReader, "a model")
        assert service.state == "loading"
        with pytest.raises(RefusedError, match=r"is loading\. Try again in 5 seconds") as refused:
            await service.predict(texts("fig"))
        assert refused.value.retry_after == 5
        await service.open()
        assert service.reader.labels == ("FRUIT",)
        assert len(await service.predict([])) == 0
        await service.close()

    asyncio.run(run())


def test_a_model_that_cannot_be_loaded_says_why() -> None:
    def fail() -> GatedReader:
        raise DataFormatError("no/model: no such model folder")

    async def run() -> None:
        service = Service(fail, "a model")
        with pytest.raises(DataFormatError, match="no such model folder"):
            await service.open()
        await service.close()

    asyncio.run(run())


def test_limits_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"max_chars is 0\. Expected more than 0\. Raise it\.\ntimeout is -1\."):
        Limits(max_chars=0, timeout=-1)
    with pytest.raises(ConfigError, match=r"max_waiting is 10\. Expected at least max_texts \(64\)"):
        Limits(max_waiting=10)
