"""The commands: one module each, with ``parse(argv)`` and ``main(argv)``; :mod:`genner.cli` finds them by name."""
