"""The web page: it shows the entities of a text, which can be filtered without reading the text again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI

from genner.errors import DataFormatError
from genner.prediction.pictures import render
from genner.prediction.results import TextInput, TextResult
from genner.serving import page_layout as layout
from genner.serving.limits import RefusedError
from genner.serving.page_layout import Answer, Asking, gr
from genner.serving.page_parts import (
    MediaFile,
    decode_upload,
    examples_for,
    file_of,
    filtered,
    json_view,
    message,
    summary,
    table,
)
from genner.serving.service import Service

__all__ = ["add_page"]

_FOLDER = Path(__file__).parent
_KEPT_SECONDS = 600  # for uploaded files, which are not needed once they are read
_BYTES_PER_CHAR = 4
_NOTHING = "No text yet. Type or paste one, open a file, or choose an example."
#: Options of every event. Gradio's queue is not used: it may close its stream of answers after one event while another
#: starts, which then never gets its answer. The service has its own queue.
_EVENT: dict[str, Any] = {"api_visibility": "private", "queue": False}


class _Found(NamedTuple):
    """The result that a visitor filters, kept in the session."""

    result: TextResult
    seconds: float


def add_page(app: FastAPI, service: Service, examples: Sequence[str] | None = None, *, min_score: float = 0.0) -> None:
    """Put the page at ``/``.

    Args:
        app: its own paths take precedence.
        service: reads the texts.
        examples: texts to try; None for those that fit the model, if any.
        min_score: initial value of the slider.
    """
    gr.mount_gradio_app(
        app,
        _Page(service, examples).build(min_score),
        path="/",
        theme=layout.theme(),
        css=layout.swatches(),
        css_paths=[_FOLDER / "page.css"],
        head=f"<script>\n{(_FOLDER / 'page.js').read_text(encoding='utf-8')}</script>",  # loaded before anything else
        js="() => document.querySelector('#status')?.setAttribute('aria-live', 'polite')",  # for screen readers
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=min(service.limits.max_chars * _BYTES_PER_CHAR, service.limits.max_body),
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
    )
    (mounted,) = (route.app for route in app.routes if isinstance(getattr(route, "app", None), gr.routes.App))
    service.at_end.append(mounted.stop_event.set)  # otherwise open pages keep the server from stopping


class _Page:
    """The page and its event handlers."""

    def __init__(self, service: Service, examples: Sequence[str] | None) -> None:
        self.service, self.examples = service, examples

    def build(self, min_score: float) -> gr.Blocks:
        """Build the page."""
        with gr.Blocks(
            title=f"Entities – {self.service.name}",
            analytics_enabled=False,
            delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS),
        ) as blocks:
            heading = layout.build_heading(self._heading())
            with gr.Row(elem_id="main"):
                asking = layout.build_asking(self.service.limits.max_chars)
                answer = layout.build_answer(min_score)
            self._connect(asking, answer)
            blocks.load(self.begin, None, [heading, answer.types, asking.examples], **_EVENT, show_progress="hidden")
        return blocks

    def _connect(self, asking: Asking, answer: Answer) -> None:
        """Connect events to handlers."""
        found, saved = gr.State(None), gr.JSON(visible="hidden")
        filters = [answer.least, answer.types]
        reading: dict[str, Any] = {
            "fn": self.find,
            "inputs": [asking.text, *filters],
            "outputs": [found, *answer.shown],
            "show_progress_on": answer.picture,
            "js": "(text, ...others) => [window.cutText(text), ...others]",
            **_EVENT,
        }
        gr.on([asking.find.click, asking.text.submit], **reading)
        asking.examples.click(_first, asking.examples, asking.text, **_EVENT).then(**reading)
        asking.upload.upload(**reading | {
            "fn": self.upload,
            "js": None,
            "inputs": [asking.upload, *filters],
            "outputs": [asking.text, found, *answer.shown],
        })  # fmt: skip
        asking.clear.click(self.clear, None, [asking.text, found, *answer.shown], **_EVENT)
        for changed in filters:
            changed.input(
                self.show,
                [found, *filters],
                answer.shown,
                **_EVENT,
                show_progress="hidden",
                trigger_mode="always_last",
            )
        for kind, button in (("jsonl", answer.jsonl), ("html", answer.html)):
            saving = button.click(partial(self.save, kind), [found, *filters], saved, **_EVENT, show_progress="hidden")
            saving.then(None, saved, None, js="(file) => window.saveFile(file)")
        asking.text.change(None, asking.text, None, js="(text) => { window.countCharacters(text) }")

    async def begin(self) -> tuple[Any, ...]:
        """Heading, types and examples once the model is loaded."""
        labels = list((await self.service.opened()).labels)
        examples = examples_for(labels) if self.examples is None else self.examples
        samples = [[text] for text in examples]
        return (
            self._heading(),
            gr.update(choices=labels, value=labels),
            gr.update(samples=samples, visible=bool(samples)),
        )

    async def find(self, text: str, min_score: float, types: list[str]) -> tuple[Any, ...]:
        """Read a text."""
        if not text.strip():
            return None, *_blank(message(_NOTHING, "note"))
        started, status = time.perf_counter(), 200
        try:
            (result,) = await self.service.predict([TextInput(text, "text")])
        except RefusedError as error:
            status = error.status
            limit = self.service.limits.max_chars  # the browser cuts the text one character beyond it
            reason = f"More than {limit:,} characters. Split the text." if status == 413 else str(error)
            return None, *_blank(message(reason, "error"))
        finally:
            seconds = time.perf_counter() - started
            self.service.metrics.request_ended("page", status, seconds)
        found = _Found(result, seconds)
        return found, *self.show(found, min_score, types)

    async def upload(self, content: bytes, min_score: float, types: list[str]) -> tuple[Any, ...]:
        """Read a file and put its text into the text box."""
        try:
            text = decode_upload(content)
        except DataFormatError as error:
            return gr.skip(), None, *_blank(message(str(error), "error"))
        return text, *await self.find(text, min_score, types)

    def show(self, found: _Found | None, min_score: float, types: list[str]) -> tuple[Any, ...]:
        """Show the entities that pass the filters."""
        if found is None:
            return (gr.skip(),) * len(_blank(""))
        shown = filtered(found.result, min_score, types)
        picture = layout.sheet(render(shown, labels=self._labels))
        saving = gr.update(interactive=found.result.error is None)
        return summary(found.result, shown, found.seconds), picture, table(shown), json_view(shown), saving, saving

    def save(self, kind: str, found: _Found | None, min_score: float, types: list[str]) -> MediaFile | None:
        """A file with the entities shown."""
        return None if found is None else file_of(kind, filtered(found.result, min_score, types), self._labels)

    def clear(self) -> tuple[Any, ...]:
        """Reset the page."""
        return "", None, *_blank("")

    @property
    def _labels(self) -> tuple[str, ...]:
        return self.service.reader.labels if self.service.reader is not None else ()

    def _heading(self) -> str:
        reader = self.service.reader
        about = f"{reader.kind} entities, types: {len(reader.labels)}" if reader else "loading …"
        return layout.heading(self.service.name, about)


def _first(sample: list[str]) -> str:
    return sample[0]


def _blank(status: str) -> tuple[Any, ...]:
    """The outputs without a result, in the order of :attr:`genner.serving.page_layout.Answer.shown`."""
    saving = gr.update(interactive=False)
    return status, layout.no_picture(), "", "", saving, saving
