"""The report in a browser: no error, nothing from the network, a slider that moves, phones, print, screen readers."""
import contextlib
import sys
import warnings

import browser
import plot_artists
from harness import SystemTest, main
from python_harness import headflow


class Page(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(contextlib.chdir(cls.shared))
        plot_artists.write_files(cls.shared)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in "run", "many", "heads", "trained0":
                headflow.plot.report(f"{name}.h5", f"{name}.html")
        cls.browser = cls.enterClassContext(contextlib.closing(browser.Browser()))

    def setUp(self):
        super().setUp()
        self.browser.complaints.clear()
        self.browser.resize(1000, 800)

    def tearDown(self):
        self.assertEqual(self.browser.complaints, [])

    def test_widths(self):
        """Nothing sticks out, on a phone or a desk."""
        for name in "run", "many", "heads", "trained0":
            self.browser.open(f"{name}.html")
            for width in 320, 400, 1000:
                self.browser.resize(width, 700)
                with self.subTest(name, width=width):
                    self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                    sizes = self.browser.evaluate(
                        "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)")
                    self.assertGreater(min(sizes), 200)

    def test_slider(self):
        """By the keyboard: heads, their paths, the clock and the attention are those of the time."""
        self.browser.open("run.html")
        state = """(element => [element("flow-0").getAttribute("cx"), element("sgd-1").getAttribute("cy"),
                                element("path-2").getAttribute("points").split(" ").length,
                                element("clock").textContent,
                                element("attention-0-1").textContent, element("time").getAttribute("aria-valuetext")
                               ])(name => document.getElementById(name))"""
        last = self.browser.evaluate(state)
        self.browser.evaluate("document.getElementById('time').focus()")
        self.browser.press("Home", 36)
        first = self.browser.evaluate(state)
        self.assertEqual((first[2], last[2]), (1, 21))
        self.assertEqual(first[3].split(",")[0], "t = 0")
        self.assertEqual(last[3].split(",")[0], "t = 40")
        self.assertEqual((first[3], last[3]), (first[5], last[5]))
        for before, after in zip(first, last):
            self.assertNotEqual(before, after)
        self.browser.press("ArrowRight", 39)
        self.assertEqual(self.browser.evaluate(state)[2], 2)
        self.browser.press("End", 35)
        self.assertEqual(self.browser.evaluate(state), last)
        frame = self.browser.evaluate("data.places.flow[20][0][0]")
        self.assertEqual(float(last[0]), frame)

    def test_screen_readers(self):
        self.browser.open("run.html")
        spoken = self.browser.spoken()
        self.assertIn(("slider", "Time"), spoken)
        for role, part in (("table", "Attention of the relevant token"), ("image", "Loss: from 0.79"),
                           ("image", "Heads in the plane of two features, at the end head 1: 1.2"),
                           ("heading", "Stages"), ("rowheader", "head 2")):
            self.assertTrue(any(role == one and part in name for one, name in spoken), (role, part))
        self.assertEqual([name for role, name in spoken if role == "image" and not name], [])

    def test_print(self):
        self.browser.open("run.html")
        self.browser.ask("Emulation.setEmulatedMedia", media="print")
        self.assertEqual(self.browser.evaluate("getComputedStyle(document.querySelector('.slider')).display"), "none")
        self.browser.ask("Emulation.setEmulatedMedia", media="")
        self.assertGreater(len(self.browser.ask("Page.printToPDF")["data"]), 50_000)


if __name__ == "__main__":
    if not browser.found():
        print("SKIPPED: no Chromium (Debian: apt-get install chromium), so the report was not tested in a browser")
        sys.exit(77)
    main()
