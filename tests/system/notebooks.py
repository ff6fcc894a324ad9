"""Executes a notebook of input/tutorial as its readers do: notebooks.py NOTEBOOK.. writes its output into it."""
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat
from jupyter_client import AsyncKernelManager

from harness import HANGS, TOP

TUTORIAL = TOP / "input/tutorial"


def executed(name, folder, timeout=HANGS):
    """The notebook of that name, executed in a folder; its outputs without bars of progress and times."""
    notebook = nbformat.read(TUTORIAL / name, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:  # files, whose names nobody else takes, as they take TCP's ports
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        client = nbclient.NotebookClient(notebook, timeout=timeout, km=kernel,
                                         resources={"metadata": {"path": str(folder)}})
        client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main():
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(Path(name).name, folder), TUTORIAL / Path(name).name)


if __name__ == "__main__":
    main()
