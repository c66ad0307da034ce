"""Parts of the fuzzer, :mod:`benchmarks.fuzz`: samples, their mutations, what reads them, and what is found."""
