"""The layout of the page: its components from top to bottom, fonts and colours; `genner.serving.page` connects them."""

from __future__ import annotations

import os
from html import escape
from typing import Any, NamedTuple

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import, which reads it

import gradio as gr

from genner.prediction.pictures.style import COLOURS
from genner.serving.page_parts import message

__all__ = ["Answer", "Asking", "build_answer", "build_asking", "no_picture", "swatches", "theme"]

_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
_FONT_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
_BARE: dict[str, Any] = {"padding": False, "apply_default_css": False}
_BEFORE = "Entities will appear here, each as a bar below its words, dotted across gaps."


class Asking(NamedTuple):
    """The input side."""

    text: gr.Textbox
    find: gr.Button
    upload: gr.UploadButton
    clear: gr.Button
    examples: gr.Dataset


class Answer(NamedTuple):
    """The output side, with its filters."""

    status: gr.HTML
    picture: gr.HTML
    rows: gr.HTML
    record: gr.HTML
    jsonl: gr.Button
    html: gr.Button
    least: gr.Slider
    types: gr.CheckboxGroup

    @property
    def shown(self) -> list[Any]:
        """The components that depend on the result."""
        return [self.status, self.picture, self.rows, self.record, self.jsonl, self.html]


def build_asking(max_chars: int) -> Asking:
    """Build the text box, buttons and examples."""
    with gr.Column(scale=5, min_width=320, elem_id="asking"):
        text = gr.Textbox(
            label="Text", lines=8, max_lines=24, placeholder="Type or paste a text", elem_id="text", autofocus=True
        )
        gr.HTML(
            f'<div class="page-hint"><span id="counter" data-limit="{max_chars}">0 of {max_chars:,} characters</span>'
            "<span><kbd>Ctrl</kbd> <kbd>Enter</kbd> to find entities</span></div>",
            elem_id="hint",
            **_BARE,
        )
        with gr.Row(elem_id="buttons"):
            find = gr.Button("Find entities", variant="primary", elem_id="find")
            upload = gr.UploadButton("Open a .txt file", file_types=[".txt"], type="binary", elem_id="upload")
            clear = gr.Button("Clear", elem_id="clear")
        examples = gr.Dataset(
            label="Examples", components=[text], samples=[], type="values", visible=False, elem_id="examples"
        )
    return Asking(text, find, upload, clear, examples)


def build_answer(min_score: float) -> Answer:
    """Build the picture, slider and types, table and JSON, and downloads."""
    with gr.Column(scale=7, min_width=320, elem_id="answer"):
        status = gr.HTML("", elem_id="status", **_BARE)
        picture = gr.HTML(no_picture(), elem_id="picture", **_BARE)
        with gr.Row(elem_id="filters"):
            least = gr.Slider(0, 1, min_score, step=0.01, label="Minimum score", elem_id="least", min_width=200)
            types = gr.CheckboxGroup([], label="Types", elem_id="types", min_width=200)
        with gr.Tabs(elem_id="details"):
            with gr.Tab("Table"):
                rows = gr.HTML("", elem_id="table", **_BARE)
            with gr.Tab("JSON"):
                record = gr.HTML("", elem_id="json", **_BARE)
        with gr.Row(elem_id="downloads"):
            jsonl = gr.Button("Download JSONL", size="sm", elem_id="jsonl", interactive=False)
            html = gr.Button("Download HTML", size="sm", elem_id="html", interactive=False)
    return Answer(status, picture, rows, record, jsonl, html, least, types)


def heading(name: str, about: str) -> str:
    """Title and model, as HTML."""
    return (
        '<div class="page-heading"><h1>Entities in your text</h1>'
        f'<p><span class="page-name">{escape(name)}</span> · {escape(about)}</p></div>'
    )


def build_heading(content: str) -> gr.HTML:
    """The component of the heading."""
    return gr.HTML(content, elem_id="heading", **_BARE)


def sheet(picture: str) -> str:
    """A picture in its frame."""
    return f'<div class="page-sheet">{picture}</div>'


def no_picture() -> str:
    """The placeholder of the picture."""
    return sheet(message(_BEFORE, "plain"))


def swatches() -> str:
    """A style sheet that underlines every type with the colour of its bars."""
    every = len(COLOURS)
    rules = (
        f"#types label:nth-of-type({every}n+{number}) span {{ border-bottom: 4px solid {colour}; }}"
        for number, colour in enumerate(COLOURS, start=1)
    )
    return "\n".join(rules)


def theme() -> gr.themes.Default:
    """System fonts, so that nothing is downloaded, and text with enough contrast (WCAG AA)."""
    found = gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", font=list(_FONT), font_mono=list(_FONT_MONO), radius_size="md"
    )
    grey, light_grey = "*neutral_600", "*neutral_300"
    return found.set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        color_accent="*primary_600",
        body_text_color_subdued=grey,
        body_text_color_subdued_dark=light_grey,
        block_label_text_color=grey,
        block_label_text_color_dark=light_grey,
        block_title_text_color=grey,
        block_title_text_color_dark=light_grey,
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
