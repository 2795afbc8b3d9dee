"""`thalweg check`: mistakes that only the store can show, and the plan."""

import pytest

from thalweg.flows.check import check
from thalweg.flows.check_view import describe, plan
from thalweg.flows.services.retrying import hopeful
from thalweg.storage.errors import UnavailableError

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 8, "regions": 2, "years": 3, "seed": 3}


def problems(path):
    return check(path).problems


def test_a_good_experiment_and_its_plan(content, write, capsys):
    checked = check(write(content))
    assert checked.problems == []
    found = plan(checked)
    assert found["cells"] == 9  # (1 + 2 folds) x 3 models x 1 seed
    assert found["seeds"] == {"physics": [1], "hybrid": [1], "climatology": [0]}
    assert [fold["train"]["sites"] for fold in found["folds"]] == [8, 4, 4]
    describe(checked)
    assert (
        "small: 9 cells = 3 folds x [physics (1 seed), hybrid (1 seed), climatology (1 seed)]"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("key", "value", "place", "says"),
    [
        (
            "data.target",
            "dischrge",
            "data.target",
            "'dischrge' is not in the store; did you mean 'discharge'?",
        ),
        ("data.forcings", ["precipitation", "temprature"], "data.forcings.1", "did you mean 'temperature'?"),
        ("data.attributes", ["slop"], "data.attributes.0", "did you mean 'slope'?"),
        (
            "data.forcings",
            ["precipitation"],
            "models.physics.process",
            "hbv needs temperature, potential_evap",
        ),
        (
            "splits.0.test",
            ["2002-01-01", "2010-01-01"],
            "splits.0.test",
            "which has 2000-01-01 to 2002-12-31",
        ),
        ("splits.0.train", ["1990-01-01", "2001-12-31"], "splits.0.train", "is not within the store"),
        ("splits.0.test", ["2001-06-01", "2002-12-31"], "splits.0", "overlap"),
        (
            "splits.1",
            {"kind": "ungauged_sites", "folds": 8},
            "splits.1",
            "leave a fold with fewer than 2 sites",
        ),
        ("splits.1", {"kind": "ungauged_regions", "by": "regon"}, "splits.1", "did you mean 'region'"),
        (
            "splits.1",
            {"kind": "ungauged_regions", "groups": [["A"], ["Z"]]},
            "splits.1",
            "no site has region 'Z'",
        ),
        (
            "training.window",
            3000,
            "training.window",
            "warmup 90 + window 3000 days do not fit into the 455 days",
        ),
        ("models.hybrid.training", {"warmup": 900}, "models.hybrid.training.warmup", "shorten one of them"),
        ("data.store", "no/such.zarr", "data.store", "no/such.zarr does not exist; give data.source"),
    ],
)
def test_what_the_store_shows(content, write, key, value, place, says):
    holder = content
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in parents:
        holder = holder[part]
    holder[last] = value
    path = write(content)
    found = [line for line in problems(path) if f" {place}: " in line]
    assert found, problems(path)
    assert says in found[0]
    number = int(found[0].split(":")[1])
    assert place.split(".")[-1].isdigit() or place.split(".")[-1] in path.read_text().splitlines()[number - 1]


def test_a_source_that_is_not_there(content, write):
    content["data"] = {"store": "new.zarr", "source": {"kind": "caravn", "path": "nowhere"}}
    found = problems(write(content))
    assert "data.source.kind: 'caravn' is no source; did you mean 'caravan'?" in found[0]
    assert "data.source.path: nowhere does not exist" in found[1]


def test_a_store_that_is_still_to_be_made(content, write, folder, capsys):
    (folder / "there").mkdir()
    content["data"] = {"store": "new.zarr", "source": {"kind": "caravan", "path": "there"}}
    checked = check(write(content))
    assert checked.problems == []
    assert plan(checked)["cells"] is None
    describe(checked)
    assert "new.zarr will be made from its source" in capsys.readouterr().out


def test_a_folder_that_is_no_store(content, write, folder):
    (folder / "other.zarr").mkdir()
    (folder / "other.zarr" / "notes.txt").touch()
    content["data"]["store"] = "other.zarr"
    assert "data.store: other.zarr: " in problems(write(content))[0]


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"training.learning_rat": {"choice": [1]}}, "did you mean 'learning_rate'?"),
        ({"models.hybrid.components": {"choice": [1, 0]}}, "must be at least 1, not 0"),
        ({"models.hybrid.components": {"uniform": [1, 2.5]}}, "must be a whole number, not 1.0"),
        (
            {"models.physics.components": {"choice": [1]}},
            "has no effect on 'hybrid', the model of the search",
        ),
        ({"training.epochs": {"choice": [1]}}, "has no effect, since models.hybrid.training.epochs is set"),
        ({"splits.temporal.train": {"choice": [1]}}, "splits cannot be searched over"),
        ({"name": {"choice": ["a"]}}, "name cannot be searched over"),
        ({"training.warmup": {"choice": [9]}}, "warmup cannot be searched over: it changes which days"),
        ({"models.hybrid.training.warmup": {"choice": [9]}}, "warmup cannot be searched over"),
        ({"models.hybrid.training.seeds": {"choice": [[1]]}}, "seeds cannot be searched over"),
        ({"training.learning_rate": {"uniform": [0.1, 0.01]}}, "the first must be the smaller"),
        ({"training.learning_rate": {"log_uniform": [0, 0.01]}}, "must be more than 0"),
    ],
)
def test_a_search_space_is_checked(content, write, space, says):
    content["models"]["hybrid"]["training"] = {"epochs": 3}
    content["search"] = {"algorithm": "random", "model": "hybrid", "space": space}
    found = problems(write(content))
    assert len(found) == 1, found
    assert says in found[0]
    assert ": search.space." in found[0]


def test_a_grid_needs_values_and_a_search_a_validation_part(content, write):
    content["search"] = {
        "algorithm": "grid",
        "model": "hybrid",
        "space": {"training.learning_rate": {"uniform": [0.1, 0.2]}},
    }
    assert "a grid needs `choice` or `integer`" in problems(write(content))[0]
    content["search"]["algorithm"] = "random"
    content["search"]["split"] = "ungauged_regions"
    assert "'ungauged_regions' lacks: add `validate:" in problems(write(content))[0]
    del content["search"]["split"], content["splits"][0]["validate"]
    assert "no split here has: add `validate:" in problems(write(content))[0]


def test_a_mistake_in_a_process_is_named_once_with_its_line(content, write, folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    (folder / "own_bucket.py").write_text(
        "from thalweg.models.processes.hbv import Hbv\n\n\n"
        "class Own(Hbv):\n"
        "    def step(self, forcing, state, parameter):\n"
        "        return state.snowpck\n"
    )
    for name in ("physics", "hybrid"):
        content["models"][name]["process"] = "own_bucket:Own"
    found = problems(write(content))
    assert len(found) == 1
    assert "models.physics.process: Own.step (own_bucket.py:6): AttributeError: " in found[0]


def test_the_store_is_of_another_source(content, write):
    content["data"]["source"] = {**SOURCE, "seed": 4}
    (found,) = problems(write(content))
    assert ": data.source: " in found
    assert '"seed": 3' in found
    assert "name another store, or delete this one" in found
    content["data"]["source"] = SOURCE
    assert problems(write(content)) == []


def test_more_processors_than_there_are(content, write, monkeypatch):
    content["resources"] = {"cpus_per_worker": 100_000}
    (found,) = problems(write(content))
    assert ": resources.cpus_per_worker: 100000 are more than this machine has" in found
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    assert problems(write(content)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"resources": {"workers_per_model": 4, "cpus_per_worker": 3000}},
            "4 workers of 3000 CPUs are more than this machine has",
        ),
        (
            {"resources": {"workers_per_model": 9, "cpus_per_worker": 0.1}},
            "9 workers cannot share out 4 training sites, as split 'ungauged_regions' has",
        ),
        ({"training": {"precision": "fp16"}}, "training.precision: fp16 needs a GPU"),
        ({"training": {"precision": "half"}}, "training.precision: "),
        ({"training": {"accumulate": 5}}, "training.accumulate: a batch of 4 sites has no 5 parts"),
        ({"training": {"accumulate": 0}}, "training.accumulate: "),
    ],
)
def test_workers_and_precision_that_do_not_fit(content, write, changes, said):
    for key, values in changes.items():
        content[key] = {**content.get(key, {}), **values}
    found = problems(write(content))
    assert len(found) == 1
    assert said in found[0]


def test_the_model_whose_training_does_not_fit_is_named(content, write):
    content["models"]["hybrid"]["training"] = {"accumulate": 7}
    (found,) = problems(write(content))
    assert "models.hybrid.training.accumulate: a batch of 4 sites has no 7 parts" in found


def test_folds_need_observations_of_the_target(content, write, twin_store):
    from thalweg.storage.store import open_store, write_store

    dataset = open_store(twin_store).load()
    unseen = dataset["discharge"].where(dataset["time"] < dataset["time"][400])
    dataset["runoff"] = unseen.assign_attrs(dataset["discharge"].attrs)
    write_store("two.zarr", dataset.drop_attrs(deep=False), {"kind": "x"})
    content["data"] = {"store": "two.zarr", "target": "runoff"}
    content["models"] = {"lstm": {"kind": "lstm", "hidden": 2}}
    found = problems(write(content))
    assert any(": splits.0: " in line for line in found), found


def test_the_same_mistake_is_said_once(content, write):
    content["training"]["window"] = 3000
    content["splits"] = content["splits"][:1]
    (found,) = problems(write(content))
    assert ": training.window: " in found


def test_gpus_that_this_machine_lacks_are_a_warning(content, write, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    content["resources"] = {"gpus_per_worker": 0.5}
    path = write(content)
    checked = check(path)
    assert checked.problems == []
    assert checked.warnings == [
        "experiment.yaml: resources.gpus_per_worker: 0.5: this machine has no GPU that torch sees: "
        "`thalweg run` needs a cluster that has them (RAY_ADDRESS, submit)"
    ]
    describe(checked)
    assert "warning: experiment.yaml: resources.gpus_per_worker" in capsys.readouterr().out.replace("\n", " ")
    assert check(path, elsewhere=True).warnings == []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert check(path).warnings == []
    assert "has 1" in check(path, {"resources.gpus_per_worker": 2}).warnings[0]
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert check(path, {"resources.gpus_per_worker": 2}).warnings == []


def test_a_store_that_cannot_be_reached_is_no_mistake(content, write, monkeypatch):
    def silent(store):
        raise UnavailableError(f"{store}: no answer")

    monkeypatch.setattr("thalweg.storage.store.has_store", silent)
    with pytest.raises(UnavailableError, match="no answer") as caught:
        check(write(content))
    assert hopeful(caught.value)
    elsewhere = check(write(content), elsewhere=True)
    assert elsewhere.problems == []
    assert "not checked against its store" in elsewhere.warnings[0]
    content["data"]["quality"] = {"stps": 3}
    assert "quality" in "".join(problems(write(content)))
