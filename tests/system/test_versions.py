"""The version stands in one place; what else names it agrees. The citation can be read."""
import os
import re
import shutil
import subprocess
import unittest
import warnings
from pathlib import Path
from unittest import mock

from harness import PROGRAM, SMALL, SystemTest, environment, execute, main
from python_harness import headflow, quiet_run

CMAKE = os.environ.get("CMAKE_COMMAND", "cmake")
TOP = Path(__file__).resolve().parents[2]
VERSION = re.search(r"^project\(headflow VERSION (\d+\.\d+\.\d+) ", (TOP / "CMakeLists.txt").read_text(),
                    re.MULTILINE)[1]


class Versions(SystemTest):
    def test_program(self):
        self.assertRegex(self.succeed("--version"),
                         rf"\Aheadflow {re.escape(VERSION)} \((no git|unknown|\w+(\+dirty(\.[0-9a-f]{{8}})?)?)\)\n\Z")

    def revision(self, sources):
        """What the build would record of these sources, and what it says."""
        header = self.folder / "header.hpp"
        header.unlink(missing_ok=True)
        done = execute(self.folder, [CMAKE, f"-DSOURCE={sources}", f"-DOUTPUT={header}", "-DVERSION=1.2.3", "-P",
                                     TOP / "cmake/write_git_revision.cmake"])
        self.assertEqual(done.returncode, 0, done.stderr)
        return re.search('GIT_REVISION "(.*)"', header.read_text())[1], done.stdout + done.stderr

    def repository(self, name):
        sources = self.folder / name
        sources.mkdir()
        (sources / "file").touch()
        git = ["git", "-C", sources, "-c", "user.name=me", "-c", "user.email=me@here", "-c", "safe.directory=*"]
        for words in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
            subprocess.run([*git, *words], check=True, env=environment(HOME=str(self.folder)))
        return sources

    def test_revision(self):
        sources = self.repository("the sources")
        self.assertRegex(self.revision(sources)[0], r"\A[0-9a-f]{12}\Z")
        (sources / "file").write_text("changed")
        self.assertRegex(self.revision(sources)[0], r"\A[0-9a-f]{12}\+dirty\Z")
        seen = set()
        (sources / "src").mkdir()
        for name, text in ("new.cpp", "1"), ("new.cpp", "2"), ("more.hpp", "3"), ("README.md", "4"):  # the code alone
            (sources / "src" / name).write_text(text)
            revision = self.revision(sources)[0]
            self.assertRegex(revision, r"\A[0-9a-f]{12}\+dirty\.[0-9a-f]{8}\Z")
            seen.add(revision)
        self.assertEqual(len(seen), 3)
        inside = sources / "tarball"  # its files are not those of the repository around it
        inside.mkdir()
        revision, said = self.revision(inside)
        self.assertEqual((revision, said.count("\n")), ("no git", 1), said)
        (inside / ".git").write_text("gitdir: nowhere\n")
        revision, said = self.revision(inside)
        self.assertEqual((revision, "warning: git tells no revision" in said), ("unknown", True), said)

    def test_files_of_another_build(self):
        """Are found and gone on with, as code that changes need not change the model; but never without a word."""
        revision = re.search(r"\((.*)\)", self.succeed("--version"))[1].encode()
        other = self.folder / "other"
        other.write_bytes(Path(PROGRAM).read_bytes().replace(revision, b"x" + revision[1:]))
        other.chmod(0o755)
        self.write_input({"output.checkpoint_every": 0.0})
        self.assertEqual(execute(self.folder, [other, "run", "case.toml"]).returncode, 0)
        told = (r"\Aheadflow: warning: case\.checkpoint-\d\.h5 is by another build, headflow \S+ \(x.*\), and this is "
                r"headflow .*: if the code of the model has changed, --force --restart none computes anew\n\Z")
        for words, expected in ((), "finished already"), (("--set", "flow.end_time=6"), "going on from"):
            done = self.headflow("run", "case.toml", *words)
            self.assertEqual(done.returncode, 0)
            self.assertIn(expected, done.stdout)
            self.assertRegex(done.stderr, told)
        for words in (), ("--force", "--restart", "none"):
            done = self.headflow("run", "case.toml", "--set", "flow.end_time=6", *words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        with mock.patch.dict(os.environ, HEADFLOW=str(other)):
            path = quiet_run(SMALL, self.folder / "python.h5").path
        with self.assertWarnsRegex(headflow.HeadflowWarning, r"python\.h5 is by another build, .*restart='none'"):
            quiet_run(SMALL, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            quiet_run(SMALL, path, restart="none")
            quiet_run(SMALL, path)

    @unittest.skipIf(os.geteuid() != 0, "only root can give files away")
    def test_sources_of_another_user(self):
        sources = self.repository("sources")
        for path in (sources, *sources.rglob("*")):
            shutil.chown(path, 65534, 65534)
        self.assertRegex(self.revision(sources)[0], r"\A[0-9a-f]{12}\Z")

    def test_changelog(self):
        text = (TOP / "src/CHANGELOG.md").read_text()
        self.assertEqual(re.findall(r"^## (\S+)", text, re.MULTILINE)[0], VERSION)
        format_version = re.search(r"file_format_version = (\d+)", (TOP / "src/core/data_file.hpp").read_text())[1]
        self.assertEqual(re.findall(r"^Format of files: (\d+)", text, re.MULTILINE)[0], format_version)
        plot = (TOP / "src/python/headflow/files.py").read_text()
        self.assertEqual(re.search(r"^FORMAT_VERSION = (\d+)", plot, re.MULTILINE)[1], format_version)

    def test_recipes(self):
        self.assertIn(f'version("{VERSION}"', (TOP / "cmake/packages/spack/package.py").read_text())
        self.assertIn(f'version = "{VERSION}"', (TOP / "src/python/pyproject.toml").read_text())
        self.assertIn(f'__version__ = "{VERSION}"', (TOP / "src/python/headflow/__init__.py").read_text())

    def test_citation(self):
        """Keys that the Citation File Format 1.2.0 requires, of the program and the paper."""
        try:
            import yaml
        except ImportError:
            self.skipTest("no Python module yaml")
        citation = yaml.safe_load((TOP / "CITATION.cff").read_text())
        for key in ("cff-version", "message", "title", "authors"):
            self.assertTrue(citation[key], key)
        self.assertEqual((citation["cff-version"], citation["version"]), ("1.2.0", VERSION))
        paper = citation["preferred-citation"]
        self.assertEqual(paper["title"], "Specialization of softmax attention heads")
        self.assertEqual([author["family-names"] for author in paper["authors"]],
                         ["Sagitova", "Duranthon", "Zdeborová"])
        self.assertEqual((paper["type"], paper["identifiers"][0]["value"]), ("article", "arXiv:2603.03993"))


if __name__ == "__main__":
    main()
