"""Requests that come together are read together, and none takes another one with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from genner.errors import ConfigError, DataFormatError
from genner.prediction.results import TextInput, TextResult
from genner.serving.limits import Limits, RefusedError
from genner.serving.service import Service
from tests.serving.conftest import GatedReader


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
        await asyncio.sleep(0.02)
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


def test_a_batch_is_bounded_in_characters_but_takes_one_text_at_least() -> None:
    reader = GatedReader(is_open=False)

    async def work(service: Service) -> None:
        first = begin(service, "plum")
        await until(lambda: len(reader.batches) == 1)
        others = begin(service, "a" * 60, "b" * 30, "c" * 30, "d" * 100)
        await asyncio.sleep(0.02)
        reader.gate.set()
        await asyncio.gather(first, others)

    with_service(reader, work, Limits(batch_chars=90))
    assert [[text[0] for text in batch] for batch in reader.batches] == [["p"], ["a", "b"], ["c"], ["d"]]


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
        await asyncio.sleep(0)
        assert b"genner_queue_texts 4.0" in service.metrics.text()
        reader.gate.set()
        await asyncio.gather(first, waiting, fits)

    with_service(reader, work, Limits(max_texts=4, max_waiting=4))
    assert reader.batches == [["plum"], ["a", "b", "c", "f"]]


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
        await asyncio.sleep(0)
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
    ended = []

    async def work(service: Service) -> None:
        service.at_end.append(lambda: ended.append(len(reader.batches)))
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
    assert ended == [2]


def test_nothing_is_taken_before_the_model_is_there() -> None:
    async def run() -> None:
        service = Service(GatedReader, "a model")
        assert service.state == "loading"
        with pytest.raises(RefusedError, match=r"is loading\. Try again in 5 seconds") as refused:
            await service.predict(texts("fig"))
        assert refused.value.retry_after == 5
        opened = asyncio.ensure_future(service.opened())
        await service.open()
        assert (await opened).labels == ("FRUIT",)
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
    with pytest.raises(ConfigError, match=r"max_chars is 0\. Expected more than 0\.\ntimeout is -1\."):
        Limits(max_chars=0, timeout=-1)
    with pytest.raises(ConfigError, match=r"max_waiting is 10\. Expected at least max_texts \(64\)"):
        Limits(max_waiting=10)
