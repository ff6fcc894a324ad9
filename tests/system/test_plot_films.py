"""headflow-plot --animate and --follow: films of the heads, and pictures of a run that goes on."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import unittest

import h5py
import numpy as np
from PIL import Image

import plot_artists
from harness import BAD_INPUT, HANGS, PLOT, SystemTest, command, environment, execute, main
from python_harness import headflow  # noqa: F401
from headflow.files import series_of
from headflow.plot.animation import Scene
from headflow.plot.figures import style

MEGABYTE = 1 << 20


class Films(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        plot_artists.write_runs(cls.shared)
        cls.enterClassContext(contextlib.chdir(cls.shared))

    def film(self, *words):
        return execute(self.shared, [PLOT, *words])

    def test_gif(self):
        """200 frames of 10 s in under 5 MB, with what moves in each of them."""
        done = self.film("run.h5", "--animate", self.folder / "heads.gif")
        self.assertEqual((done.returncode, done.stderr, done.stdout), (0, "", f"{self.folder / 'heads.gif'}\n"))
        self.assertLess((self.folder / "heads.gif").stat().st_size, 5 * MEGABYTE)
        with Image.open(self.folder / "heads.gif") as film:
            self.assertEqual((film.n_frames, film.info["duration"], film.size), (200, 50, (880, 432)))
            film.seek(199)
            last = {colour for _, colour in film.convert("RGB").getcolors(1 << 20)}
        for colour in ((0, 0x3A, 0x6B), (0xBC, 0x4A, 0), (0x14, 0xA3, 0x7A)):  # those of the heads
            self.assertLess(min(np.abs(np.subtract(colour, one)).max() for one in last), 12)

    def test_many_heads_in_space(self):
        options = ("--panels", "space", "--frames", "30", "--log-time")
        done = self.film("run.h5", "--animate", self.folder / "space.gif", *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = self.film("many.h5", "--animate", self.folder / "many.gif", "--features", "2", "1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLess((self.folder / "many.gif").stat().st_size, 5 * MEGABYTE)

    def test_what_is_shown(self):
        """Heads of the flow and of SGD's mean are where the file has them, at times that are even on the axis."""
        run = series_of("run.h5")
        flow, sgd = run.series
        for log_time in False, True:
            with style():
                scene = Scene(run, (0, 2), log_time)
                frames = scene.frames(21)
                for i, frame in enumerate(frames):
                    t = scene.line.get_xdata()[0]
                    expected = np.geomspace(2, 40, 21)[i] if log_time else 2.0 * i
                    self.assertAlmostEqual(t, expected)
                    for series, dots in zip((flow.m, sgd.m.mean(axis=1)), scene.dots):
                        own = flow.time if series is flow.m else sgd.time
                        for h, dot in enumerate(dots):
                            found = [values[0] for values in dot.get_data()]
                            np.testing.assert_allclose(found, [np.interp(t, own, series[:, h, f]) for f in (0, 2)])
                    self.assertIn(f"t = {t:.4g}", scene.clock.get_text())
                    self.assertEqual(len(scene.paths[0].get_xdata()), (flow.time <= t).sum() + 1)
            self.assertEqual(i, 20)

    @unittest.skipUnless(shutil.which("ffmpeg") and shutil.which("ffprobe"), "no ffmpeg")
    def test_mp4(self):
        done = self.film("run.h5", "--animate", self.folder / "heads.mp4", "--frames", "40")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        words = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", self.folder / "heads.mp4"]
        [stream] = json.loads(execute(self.folder, words).stdout)["streams"]
        self.assertEqual((stream["codec_name"], stream["pix_fmt"], stream["nb_read_frames"], stream["width"]),
                         ("h264", "yuv420p", "40", 880))

    def test_errors(self):
        (self.folder / "old.gif").write_bytes(b"an older film")
        nowhere = environment(PATH=str(self.folder))
        (self.folder / "python3").symlink_to("/usr/bin/python3")
        for words, message, env in ((["single.h5", "--animate", "x.gif"], "choose 2 different ones from 1 to 1", None),
                                    (["two.h5", "--animate", "x.gif", "--panels", "space"], "3 different ones", None),
                                    (["run.h5", "--animate", "x.gif", "-o", "y.gif"], "leave out --output y.gif", None),
                                    (["run.h5", "--animate", "x.avi"], "known are .gif, .mp4", None),
                                    (["run.h5", "two.h5", "--animate", "x.gif"], "takes one file", None),
                                    (["run.h5", "--animate", "x.gif", "--panels", "loss"], "plane or space", None),
                                    (["run.h5", "--animate", "x.gif", "--frames", "1"], "2 to 5000", None),
                                    (["run.h5", "--animate", "none/x.gif"], "none/x.gif", None),
                                    (["run.h5", "--animate", "x.mp4"], "needs the program ffmpeg", nowhere),
                                    (["none.h5", "--animate", self.folder / "old.gif"], "none.h5", None)):
            with self.subTest(words):
                done = execute(self.shared, [PLOT, *words], env=env)
                self.assertEqual((done.returncode, done.stderr.count("\n")), (BAD_INPUT, 1), done.stderr)
                self.assertIn(message, done.stderr)
        self.assertEqual((self.folder / "old.gif").read_bytes(), b"an older film")
        self.assertEqual([name for name in os.listdir(self.shared) if not name.endswith(".h5")], [])

    def test_follow(self):
        """From before there is a file until its run has ended; Ctrl-C ends it, too."""
        os.chdir(self.folder)
        self.addCleanup(os.chdir, self.shared)
        for ends in "finished", "Ctrl-C":
            with self.subTest(ends):
                for path in self.folder.iterdir():
                    path.unlink()
                process = subprocess.Popen([PLOT, "run.h5", "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                           text=True, env=environment(PYTHONUNBUFFERED="1"))
                self.addCleanup(process.kill)
                shutil.copy(self.shared / "run.h5", "next")
                os.replace("next", "run.h5")
                self.assertEqual(process.stdout.readline(), "run.png: running\n")
                first = (self.folder / "run.png").stat().st_ino
                if ends == "Ctrl-C":
                    process.send_signal(signal.SIGINT)
                    self.assertEqual(process.communicate(timeout=HANGS), ("", ""))
                else:
                    shutil.copy(self.shared / "run.h5", "next")
                    with h5py.File("next", "r+") as file:
                        file["provenance/finished"] = "2026-01-01T00:00:00Z"
                    os.replace("next", "run.h5")
                    self.assertEqual(process.communicate(timeout=HANGS), ("run.png: finished\n", ""))
                    self.assertNotEqual((self.folder / "run.png").stat().st_ino, first)
                self.assertEqual(process.returncode, 0)

    def test_follow_a_run(self):
        self.write_input({"output.every": 0.01, "flow.end_time": 400.0})
        words = command("run", "case.toml")
        run = subprocess.Popen(words, cwd=self.folder, env=environment(), stdout=subprocess.DEVNULL)
        done = execute(self.folder, [PLOT, "case.h5", "--follow", "--panels", "loss"])
        self.assertEqual((run.wait(), done.returncode, done.stderr), (0, 0, ""))
        self.assertEqual(done.stdout.splitlines()[-1], "case.png: finished")


if __name__ == "__main__":
    main()
