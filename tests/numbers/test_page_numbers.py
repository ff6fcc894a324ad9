"""The statements about the pages of results: each is on its page once, and no number of a page is without one, but
settings, costs and tables that other long tests print.

Needs no output files: check.py compares the numbers with these.
"""
import re
import unittest

from check import PAGES
from statements import right, unchecked


class PageNumbers(unittest.TestCase):
    def test_each_statement_is_on_its_page_once(self):
        for page in PAGES:
            text = page.text()
            for statement in page.statements:
                with self.subTest(page.name):
                    self.assertEqual(len(statement.matches(text)), 1, statement.piece)

    def test_every_number_is_checked(self):
        for page in PAGES:
            with self.subTest(page.name):
                self.assertEqual(unchecked(page), [], "neither in a hole of a statement nor a setting (statements.py)")

    def test_a_new_number_is_noticed(self):
        for page in PAGES:
            with self.subTest(page.name):
                new = unchecked(page, page.text() + "\nHeads split at t = 12.3, and 45 % of them return.")
                self.assertEqual(len(new), 2, new)

    def test_every_setting_is_needed(self):
        """Exceptions that match nothing are no longer true."""
        for page in PAGES:
            with self.subTest(page.name):
                self.assertEqual([pattern for pattern in page.own_settings
                                  if not re.search(pattern, page.text(), re.MULTILINE)], [])

    def test_numbers_are_compared_as_they_are_printed(self):
        for kind, printed, computed, good in (
                ("", ".25", 0.2549, True), ("", ".25", 0.2561, False), ("", "640,000", 640000, True),
                ("", "4 10^4", 43431, True), ("", "4 10^4", 46000, False), ("", "1e-5", 1.4e-5, True),
                ("", "-0.17", -0.1744, True), ("", "10^-4", 1.01e-4, False), ("w", "Four", 4, True),
                ("w", "four", 5, False), ("~", "10", 10.9, True), ("~", "10", 11.1, False), ("<", "3e-4", 2.4e-4, True),
                ("<", "3e-4", 3.1e-4, False), (">", "1.2", 1.21, True), (">", "1.2", 1.19, False),
                ("", "1", float("nan"), False)):
            self.assertEqual(right(kind, printed, computed), good, (kind, printed, computed))


if __name__ == "__main__":
    unittest.main(verbosity=2)
