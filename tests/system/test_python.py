"""Results of the Python package: every group of every kind of file as an xarray Dataset."""
import copy
import os
import pickle
import shutil
import unittest.mock

import h5py
import numpy as np
import xarray as xr

from harness import PLOT, SMALL, SystemTest, changed, command, execute, main, toml_text
from python_harness import SGD, headflow, quiet_run

# One of every kind of file.
CASES = {
    "flow": SMALL,
    "sgd": changed(SMALL, {"sgd": SGD | {"engine": "direct", "save_weights": True}}),
    "saddle": changed(SMALL, {"population.symmetric": True, "saddle": {}}),
    "trained": changed(SMALL, {"flow": None, "train": {"starts": 2}, "bayes": {"standard_error": 1e-2}, "prune": {},
                               "maps": {}}),
    "sweep": changed(SMALL, {"sweep": {"attention.activation": ["softmax", "softmax-1"], "attention.heads": [1, 3],
                                       "model.signal[2]": [1.0, 4.0], "repeats": 2}}),
}


class Results(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, case in CASES.items():
            (cls.shared / f"{name}.toml").write_text(toml_text(case))
            done = execute(cls.shared, command("run", f"{name}.toml"))
            assert done.returncode == 0, done.stderr

    def test_every_group_of_every_file(self):
        """Numbers, axes, units and long names are those that h5py reads; also of weights and checkpoints."""
        files = sorted(self.shared.glob("*.h5"))
        self.assertGreater(len(files), 2 * len(CASES))
        for path in files:
            with self.subTest(path.name), h5py.File(path) as file, headflow.open(path) as result:
                self.assertEqual(set(result), set(file) - {"provenance"})
                for group, dataset in result.items():
                    stored = {name: item for name, item in file[group].items() if isinstance(item, h5py.Dataset)}
                    self.assertLessEqual(set(stored), set(dataset.variables), group)
                    for name, item in stored.items():
                        variable = dataset[name]
                        if "sweep" in file and variable.dims == (name,) and name not in ("head", "feature", "head_b"):
                            continue  # values of a swept key in place of their numbers
                        np.testing.assert_array_equal(variable.values, item[()])
                        if item.shape:
                            scales = [dim[0].name.rpartition("/")[2] if len(dim) else name for dim in item.dims]
                            self.assertEqual(list(variable.dims), scales)
                        for attribute in "units", "long_name":
                            self.assertEqual(variable.attrs.get(attribute), item.attrs[attribute].decode()
                                             if attribute in item.attrs else None)

    def test_what_a_result_tells(self):
        result = headflow.open(self.shared / "flow.h5")
        self.assertEqual((result.input["attention"]["heads"], result.input["flow"]["tolerance"]), (2, 1e-6))
        self.assertEqual(result.provenance["ranks"], "1")
        self.assertEqual(result.status, "finished")
        self.assertEqual(set(result.stages), {"alignment_time", "split_time", "growth_rate"})
        self.assertEqual(result.flow.loss.attrs["long_name"], "population loss E(m, r, b, v)")
        self.assertIs(result.flow, result["flow"])
        self.assertIn("flow", dir(result))
        self.assertIn("finished", repr(result))
        with self.assertRaisesRegex(AttributeError, "groups: flow"):
            result.sgd
        if hasattr(xr, "DataTree"):
            self.assertEqual(result.tree()["flow"].ds.loss.sizes, result.flow.loss.sizes)
        else:
            with unittest.mock.patch.object(xr, "DataTree", create=True) as tree:
                self.assertIs(result.tree(), tree.from_dict.return_value)
            tree.from_dict.assert_called_once_with({"flow": result.flow})
            with self.assertRaisesRegex(NotImplementedError, "2024.10"):
                result.tree()

    def test_lazily(self):
        """Nothing is read but the coordinates; of any choice of places what numpy would choose."""
        flow = headflow.open(self.shared / "flow.h5").flow
        self.assertEqual([name for name, variable in flow.data_vars.items() if variable.variable._in_memory], [])
        whole = headflow.open(self.shared / "flow.h5").flow.m.values
        for choice in (slice(None, None, -1), slice(6, 1, -2), [3, 1, 1], 2, -1, slice(2, 5),
                       np.array([True, False] * 4 + [True])):
            m = headflow.open(self.shared / "flow.h5").flow.m
            np.testing.assert_array_equal(m[choice].values, whole[choice])
            np.testing.assert_array_equal(m[choice, [1, 0]].values, whole[choice][..., [1, 0], :])

    def test_sweep(self):
        """Values of the swept keys are coordinates; members that are missing are told, and NaN."""
        sweep = headflow.open(self.shared / "sweep.h5")
        one = sweep.flow.loss.sel(attention_activation="softmax-1", attention_heads=3, model_signal_2=4.0, repeat=2)
        with h5py.File(self.shared / "sweep.h5") as file:
            self.assertEqual(one.item(), file["flow/loss"][1, 1, 1, 1])
        self.assertEqual((sweep.missing, sweep.sweep["attention.heads"]), ([], [1, 3]))
        self.assertIn("\n  ['sweep']: ", repr(sweep))  # .sweep is its axes
        path = self.folder / "missing.h5"
        shutil.copy(self.shared / "sweep.h5", path)
        with h5py.File(path, "r+") as file:
            file["sweep/done"][0, 1, 0, 1], file["flow/loss"][0, 1, 0, 1] = 0, np.nan
        with self.assertWarnsRegex(headflow.HeadflowWarning, "1 of 16 members"):
            result = headflow.open(path)
        self.assertEqual(result.missing, [{"attention.activation": "softmax", "attention.heads": 3,
                                           "model.signal[2]": 1.0,
                                           "repeat": 2}])
        self.assertEqual(int(np.isnan(result.flow.loss).sum()), 1)

    def test_several_files(self):
        """Along the keys in which their inputs differ: a grid of axes, or one axis with the keys on it."""
        paths = {}
        for heads, seed in ((1, 5), (1, 6), (2, 5), (2, 6)):
            case = changed(SMALL, {"attention.heads": heads, "start.seed": seed, "flow.outputs": 4 + 4 * (seed == 6)})
            case["output"] = {"every": float(seed)}
            paths[heads, seed] = quiet_run(changed(case, {"flow.outputs": 4}), self.folder / f"{heads}-{seed}.h5").path
        grid = headflow.open([paths[2, 6], paths[1, 5], paths[1, 6], paths[2, 5]])
        self.assertEqual(dict(grid.flow.loss.sizes), {"attention_heads": 2, "start_seed": 2, "time": 5})
        for (heads, seed), path in paths.items():
            own, chosen = headflow.open(path).flow, grid.flow.sel(attention_heads=heads, start_seed=seed)
            np.testing.assert_array_equal(chosen.loss, own.loss)
            np.testing.assert_array_equal(chosen.m[:, :heads], own.m)
        self.assertTrue(np.isnan(grid.flow.m.sel(attention_heads=1, head=2)).all())
        self.assertEqual(grid.sweep, {"attention.heads": [2, 1], "start.seed": [6, 5]})
        self.assertNotIn("seed", grid.input["start"])
        line = headflow.open([paths[1, 5], paths[2, 6]])
        self.assertEqual(line.flow.loss.sizes["run"], 2)
        self.assertEqual(line.flow.attention_heads.values.tolist(), [1, 2])
        np.testing.assert_array_equal(line.flow.loss.isel(run=1), headflow.open(paths[2, 6]).flow.loss)

    def test_files_beside_an_output(self):
        """Checkpoints and weights are no results of their own, but open by name."""
        with self.assertWarnsRegex(headflow.HeadflowWarning, r"left out 2 files .*sgd\.(checkpoint-1|weights-80)\.h5"):
            alone = headflow.open(self.shared.glob("sgd*.h5"))
        self.assertEqual((alone.path, alone.sweep), (self.shared / "sgd.h5", {}))
        paths = sorted(self.shared.glob("[fs][lg]*.h5"))
        with self.assertWarnsRegex(headflow.HeadflowWarning, "left out 3 files"):
            self.assertEqual(headflow.open(paths).flow.sizes["run"], 2)
        done = execute(self.folder, [PLOT, *paths, "-o", "x.png"])
        self.assertEqual((done.returncode, done.stdout), (0, "x.png\n"))
        self.assertRegex(done.stderr, r"\Aheadflow-plot: left out 3 files of checkpoints and weights, such as \S+\n\Z")
        checkpoint = self.shared / "flow.checkpoint-1.h5"
        self.assertIn("flow_state", headflow.open([checkpoint]))
        self.assertIn("flow_state", headflow.open(checkpoint))

    def test_what_cannot_be_opened(self):
        for files in None, 3, b"flow.h5", {"flow.h5": 1}, [None], [3]:
            with self.assertRaisesRegex(headflow.InputError, " = .* is needed"):
                headflow.open(files)
        with self.assertRaisesRegex(headflow.FileError, "sweep.h5: is a sweep"):
            headflow.open([self.shared / "flow.h5", self.shared / "sweep.h5"])

    def test_files_with_other_variables(self):
        """NaN where a file has no such variable, whichever comes first."""
        flow, both = self.shared / "flow.h5", self.shared / "sgd.h5"
        for paths in (flow, both), (both, flow):
            joined, own = headflow.open(paths), headflow.open(both)
            place = paths.index(both)
            for name in "steps", "loss", "m":
                np.testing.assert_array_equal(joined.sgd[name].isel(run=place).dropna("time", how="all"), own.sgd[name])
                self.assertTrue(np.isnan(joined.sgd[name].isel(run=1 - place)).all())
            self.assertEqual(set(joined.flow.data_vars), set(headflow.open(flow).flow.data_vars))

    def test_copies(self):
        """Of a result and its datasets, in this process and in others."""
        result = headflow.open(self.shared / "flow.h5")
        loss = headflow.open(self.shared / "flow.h5").flow.loss
        for twin in copy.deepcopy(result), pickle.loads(pickle.dumps(result)):
            np.testing.assert_array_equal(twin.flow.loss, loss)
        for twin in result.flow.copy(deep=True), pickle.loads(pickle.dumps(result.flow)):
            np.testing.assert_array_equal(twin.loss, loss)

    def test_closed(self):
        result = headflow.open(self.shared / "flow.h5")
        flow = result.flow
        result.close()
        result.close()
        for use in (lambda: flow.loss.values, lambda: headflow.plot.loss(result), lambda: headflow.plot.figure(result)):
            with self.assertRaisesRegex(headflow.FileError, "flow.h5: is closed"):
                use()

    def test_wrong_files(self):
        text, cut, newer, folder = (self.folder / name for name in ("text.h5", "cut.h5", "newer.h5", "folder.h5"))
        text.write_text("no HDF5")
        folder.mkdir()
        whole = (self.shared / "flow.h5").read_bytes()
        cut.write_bytes(whole[:len(whole) // 2])
        shutil.copy(self.shared / "flow.h5", newer)
        with h5py.File(newer, "r+") as file:
            file.attrs["format_version"], file.attrs["readable_by"] = "9", "headflow 9.0 or newer"
        for path, word in ((self.folder / "none.h5", "No such file"), (text, "not an HDF5 file"), (cut, "truncated"),
                           (newer, "headflow 9.0 or newer"), (folder, "regular file")):
            with self.subTest(path.name):
                with self.assertRaises(headflow.FileError) as caught:
                    headflow.open(path)
                self.assertIn(str(path), str(caught.exception))
                self.assertIn(word, str(caught.exception))
                self.assertIsInstance(caught.exception, OSError)
        with self.assertRaises(headflow.FileError):
            headflow.open([])

    def test_a_file_of_the_first_version(self):
        """Which said nothing of its format."""
        path = self.folder / "first.h5"
        shutil.copy(self.shared / "flow.h5", path)
        with h5py.File(path, "r+") as file:
            del file.attrs["format_version"], file.attrs["readable_by"]
        np.testing.assert_array_equal(headflow.open(path).flow.loss, headflow.open(self.shared / "flow.h5").flow.loss)

    def test_a_file_that_is_replaced(self):
        """As a run does it: what was opened stays whole, and is read anew when asked."""
        path = self.folder / "run.h5"
        shutil.copy(self.shared / "flow.h5", path)
        result = headflow.open(path)
        shutil.copy(self.shared / "sgd.h5", self.folder / "next")
        os.replace(self.folder / "next", path)
        np.testing.assert_array_equal(result.flow.m, headflow.open(self.shared / "flow.h5").flow.m)
        self.assertIn("sgd", result.reload())
        with h5py.File(path) as file:  # no lock stands in the way of others in this process
            np.testing.assert_array_equal(result.flow.time, file["flow/time"])

    def test_names(self):
        path = self.folder / "größe ✓ 'a b'.h5"
        result = quiet_run(SMALL, path)
        self.assertEqual((result.path, result.flow.time.size), (path, 9))
        self.assertEqual(quiet_run(SMALL, path).provenance["run_id"], result.provenance["run_id"])


if __name__ == "__main__":
    main()
