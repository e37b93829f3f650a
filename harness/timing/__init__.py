"""How fast is each backend? Timings that are fair: parity first, one process a backend, interleaved, with intervals."""
