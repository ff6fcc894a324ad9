"""The Python package as it is imported, installed by pip and found in a build folder."""
import ast
import os
import shutil
import stat
import sys

from harness import PROGRAM, SMALL, TOP, SystemTest, environment, execute, main
from python_harness import PACKAGE, headflow


class Package(SystemTest):
    def python(self, text, python=sys.executable, **variables):
        done = execute(self.folder, [python, "-c", text], env=environment(**variables))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_import_loads_nothing_heavy(self):
        text = ("import sys, headflow; dir(headflow); "
                "print([m for m in ('numpy', 'xarray', 'matplotlib', 'h5py') if m in sys.modules])")
        self.assertEqual(self.python(text, PYTHONPATH=str(PACKAGE)), "[]\n")
        text = "import sys, headflow.plot.command; print({'xarray', 'matplotlib.pyplot'} & {*sys.modules} or [])"
        self.assertEqual(self.python(text, PYTHONPATH=str(PACKAGE)), "[]\n")
        text = "import sys, headflow.result, headflow.runs; print('matplotlib' in sys.modules)"
        self.assertEqual(self.python(text, PYTHONPATH=str(PACKAGE)), "False\n")

    def test_sources(self):
        """Every name that is offered is there and described; nothing needs a Python after 3.11."""
        for name in headflow.__all__:
            if name != "__version__":
                self.assertTrue(getattr(headflow, name).__doc__, name)
        for path in (TOP / "src/python").rglob("*.py"):
            ast.parse(path.read_text(), feature_version=(3, 11))

    def test_from_the_build_folder(self):
        """The program beside the package, without a word about where it is."""
        text = "from headflow.program import program, job_script; print(program(), job_script('run.sh'))"
        env = {name: value for name, value in environment(PYTHONPATH=str(PACKAGE)).items() if name != "HEADFLOW"}
        done = execute(self.folder, [sys.executable, "-c", text], env=env)
        self.assertEqual(done.stdout.split()[:1], [str(PROGRAM)], done.stderr)

    def test_a_home_that_cannot_be_written(self):
        home = self.folder / "home"
        home.mkdir()
        home.chmod(stat.S_IRUSR | stat.S_IXUSR)
        text = ("import headflow; "
                f"print(headflow.run({SMALL!r}, {str(self.folder / 'x.h5')!r}, progress=False).flow.time.size)")
        self.assertEqual(self.python(text, PYTHONPATH=str(PACKAGE), HOME=str(home), XDG_CACHE_HOME="/nowhere"), "9\n")

    def test_a_folder_that_cannot_be_written(self):
        """A finished file is found there; a new one is refused with the program's words."""
        folder = self.folder / "results"
        folder.mkdir()
        text = (f"import headflow, os; os.chdir({str(folder)!r}); "
                f"result = headflow.run({SMALL!r}, progress=False); print(result.provenance['run_id'])")
        variables = environment(PYTHONPATH=str(PACKAGE), PYTHONWARNINGS="ignore")
        first = execute(self.folder, [sys.executable, "-c", text], env=variables).stdout
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        self.addCleanup(folder.chmod, stat.S_IRWXU)
        # Root may write where others may not, unless it gives up this power.
        bound = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
        for words, expected in ((text, (0, first)), (text.replace("'seed': 3", "'seed': 4"), (1, ""))):
            done = execute(self.folder, [*bound, sys.executable, "-c", words], env=variables)
            self.assertEqual((done.returncode, done.stdout), expected, done.stderr)
        self.assertRegex(done.stderr, r"InputError: output headflow-\w{16}\.h5: the folder \. is not writable\n\Z")

    def test_pip(self):
        """Offline, from sources that cannot be written, into a virtual environment that has the modules of the
        system."""
        sources = self.folder / "sources"
        shutil.copytree(TOP / "src/python", sources, ignore=shutil.ignore_patterns("__pycache__"))
        before = sorted(sources.rglob("*"))
        for path in before:
            path.chmod(0o555 if path.is_dir() else 0o444)
        venv = self.folder / "venv"
        done = execute(self.folder, [sys.executable, "-m", "venv", "--system-site-packages", venv])
        if done.returncode:
            self.skipTest("no Python module venv")
        nowhere = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "PIP_RETRIES": "0",
                   "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = execute(self.folder, [venv / "bin/pip", "install", sources], env=environment(**nowhere))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(sorted(sources.rglob("*")), before)
        text = "import headflow; print(headflow.__file__); headflow.open, headflow.run"
        self.assertIn(str(venv), self.python(text, venv / "bin/python"))
        self.assertIn("FILE.h5", execute(self.folder, [venv / "bin/headflow-plot", "--help"]).stdout)
        done = execute(self.folder, [venv / "bin/pip", "check"])
        self.assertNotIn("headflow", done.stdout)
        done = execute(self.folder, [venv / "bin/pip", "uninstall", "-y", "headflow"])
        self.assertEqual(list(venv.rglob("headflow*")), [])


if __name__ == "__main__":
    main()
