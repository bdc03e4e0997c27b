"""Benchmarks of fastnn beside NumPy, PyTorch and JAX: `python -m bench --help`."""
