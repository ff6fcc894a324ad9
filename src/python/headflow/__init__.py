"""headflow for Python: run it, open its results, draw them.

    import headflow
    result = headflow.run({"model": {"tokens": 4, "prior": "flipping-spike", "signal": [2.0, 2.0]},
                           "attention": {"heads": 2}, "flow": {"end_time": 300.0}})
    result.flow.loss                 # an xarray.DataArray over time
    headflow.plot.plane(result)      # the heads in the plane of two features

All is computed by the program ``headflow``: the one that this package was built or installed with, else the one in
PATH, or that the environment variable HEADFLOW names.
"""
import importlib

_HOMES = {
    "errors": ("Error", "InputError", "NumericalError", "FileError", "Stopped", "LaunchError", "HeadflowWarning"),
    "result": ("open", "Result"),
    "inputs": ("Input",),
    "runs": ("check", "run", "sweep", "Report"),
    "jobs": ("submit", "Job"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names} | {"plot": "plot"}
__version__ = "0.1.0"
__all__ = [*_HOME, "__version__"]  # noqa: PLE0604


def __getattr__(name: str):
    """Loads what is used: numpy, xarray and matplotlib take longer than most of what is asked of them."""
    if name not in _HOME:
        raise AttributeError(f"module 'headflow' has no attribute {name!r}")
    module = importlib.import_module(f"headflow.{_HOME[name]}")
    value = module if name == "plot" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_HOME])
