"""Entities out of raw text: words and sentences, windows, the recogniser, formats in and out, pictures, sharing."""
