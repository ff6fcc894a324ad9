"""Writes the wheel of this package, a zip of its files with their names and sums: PEP 517 and PEP 660 for pip, which so
needs no network and leaves nothing here."""
import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TAG = "py3-none-any"


def _project():
    return tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _metadata(project):
    extras = [(name, needs) for name, packages in project["optional-dependencies"].items() for needs in packages]
    return "\n".join(["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}",
                      f"Summary: {project['description']}", f"Requires-Python: {project['requires-python']}",
                      *(f"Requires-Dist: {needs}" for needs in project["dependencies"]),
                      *(f"Provides-Extra: {name}" for name in project["optional-dependencies"]),
                      *(f'Requires-Dist: {needs}; extra == "{name}"' for name, needs in extras), ""])


def _write(folder, files):
    """A wheel of {name in it: bytes}; returns its name."""
    project = _project()
    info = f"{project['name']}-{project['version']}.dist-info"
    scripts = "".join(f"{name} = {place}\n" for name, place in project["scripts"].items())
    files = files | {f"{info}/METADATA": _metadata(project).encode(),
                     f"{info}/WHEEL": ("Wheel-Version: 1.0\nGenerator: headflow\nRoot-Is-Purelib: true\n"
                                       f"Tag: {TAG}\n").encode(),
                     f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}".encode()}
    record = ""
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = f"{project['name']}-{project['version']}-{TAG}.whl"
    with zipfile.ZipFile(Path(folder, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    paths = [path for path in sorted((HERE / "headflow").rglob("*")) if path.suffix == ".py" or path.name == "py.typed"]
    return _write(wheel_directory, {path.relative_to(HERE).as_posix(): path.read_bytes() for path in paths})


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _write(wheel_directory, {"headflow.pth": f"{HERE}\n".encode()})


def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError("the sources of this package are those of headflow")
