"""Functions as cached computations: `with_infra`, `to_config`, `to_config_model`."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import typing as tp
from pathlib import Path

import cloudpickle
import pydantic
import pytest

import cachedmodel as cm

CALLS: list[object] = []


@cm.with_infra(version="2")
def power(base: float, exponent: int = 2, *, negate: bool = False) -> float:
    """Raises a base."""
    CALLS.append((base, exponent, negate))
    return base**exponent * (-1 if negate else 1)


@cm.with_infra()
def triple(x: int) -> int:
    return 3 * x


def add(a: int, b: int = 2, /, c: int = 0, *, d: int = 0) -> int:
    """Adds."""
    return 1000 * a + 100 * b + 10 * c + d


def shadowing(copy: int, json: int, model_x: int = 1, schema: str = "") -> int:
    return copy + json + model_x


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


# -- with_infra -------------------------------------------------------------------------------------------------------


def test_a_function_is_called_as_before(tmp_path: Path) -> None:
    """Positional and keyword arguments and defaults are those of the function; equal calls are computed once."""

    @cm.with_infra(folder=tmp_path)
    def scale(x: int, factor: float = 2) -> float:
        CALLS.append(x)
        return x * factor

    assert [scale(3), scale(x=3), scale(3, 2.0), scale(3, factor=2)] == [6.0] * 4
    assert scale(4) == 8.0
    assert CALLS == [3, 4]


def test_results_are_kept_in_memory_without_a_folder() -> None:
    """Where no folder is given a function keeps its results itself."""

    @cm.with_infra()
    def make(x: int) -> list[int]:
        CALLS.append(x)
        return [x]

    assert make(1) is make(x=1)
    assert make(2) == [2]
    assert CALLS == [1, 2]


def test_results_are_kept_in_ram_when_asked(tmp_path: Path) -> None:
    """With ``keep_in_ram`` the same object is handed out again."""

    @cm.with_infra(folder=tmp_path, keep_in_ram=True)
    def make(x: int) -> list[int]:
        return [x]

    assert make(1) is make(1)


def test_name_signature_and_documentation_are_kept() -> None:
    """The decorated function looks like the function."""
    assert power.__name__ == "power"  # type: ignore[attr-defined]
    assert power.__doc__ == "Raises a base."
    assert str(inspect.signature(power)) == "(base: 'float', exponent: 'int' = 2, *, negate: 'bool' = False) -> 'float'"
    assert str(inspect.signature(power.config)) == str(inspect.signature(power))
    assert power.config.model.__doc__ == "Raises a base."
    assert "power" in repr(power)


def test_jobs_and_folders(tmp_path: Path) -> None:
    """``job`` submits, and ``config`` gives the model behind a call."""

    @cm.with_infra(folder=tmp_path, cluster="threadpool")
    def square(x: int) -> int:
        return x**2

    assert square.job(3).result() == 9
    config = square.config(4)
    assert config.build.status() == "not submitted"
    assert config.build() == square(4) == 16
    assert config.build.is_cached()
    assert config.build.uid().startswith("x=4-")


def test_functions_pickle() -> None:
    """A function of a module pickles by name, a local one by value, and configurations with them."""

    @cm.with_infra()
    def local(x: int) -> int:
        return x + 1

    assert pickle.loads(pickle.dumps(power)) is power
    assert pickle.loads(pickle.dumps(power.config(2.0))).build() == 4.0
    copied = cloudpickle.loads(cloudpickle.dumps(local))
    assert (copied(2), copied.__name__) == (3, "local")
    assert cloudpickle.loads(cloudpickle.dumps(local.config(2))).build() == 3
    assert cloudpickle.loads(cloudpickle.dumps(local.config(2).build))() == 3


def test_values_are_checked() -> None:
    """Arguments are validated as fields of a model; what a call lacks is a TypeError, as for any function."""
    with pytest.raises(pydantic.ValidationError, match="exponent"):
        power(2.0, "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^power\(base: .*\).*: missing a required argument: 'base'$"):
        power()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'bas'"):
        power(1.0, bas=2)  # type: ignore[call-arg]
    assert CALLS == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"foldr": "x"}, "with_infra has no setting 'foldr'|did you mean 'folder'"),
        ({"max_jobs": 0}, "with_infra: max_jobs"),
        ({"cluster": "slrum"}, "no cluster 'slrum'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, tp.Any], message: str) -> None:
    """Settings are checked where they are written."""
    with pytest.raises(cm.InfraError, match=message):
        cm.with_infra(**settings)


def _var_positional(*args: int) -> int:
    return 1


def _var_keyword(**kwargs: int) -> int:
    return 1


def _unannotated(x):  # type: ignore[no-untyped-def]
    return 1


def _taken(infra: int) -> int:
    return 1


def _private(_x: int) -> int:
    return 1


def _generator(x: int) -> tp.Iterator[int]:
    yield x


async def _async(x: int) -> int:
    return x


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (
            _var_positional,
            r"_var_positional: \*args.* names no arguments that could be told apart: name each parameter",
        ),
        (_var_keyword, r"\*\*kwargs.* names no arguments that could be told apart"),
        (_unannotated, "parameter 'x' is not annotated, so its values cannot be checked"),
        (_taken, "a parameter cannot be named 'infra'"),
        (_private, "a parameter cannot be named '_x'"),
        (_generator, "_generator is async or a generator: write a plain function"),
        (_async, "_async is async or a generator"),
        (len, "is no plain function"),
    ],
)
def test_wrong_functions_are_refused(func: tp.Any, message: str) -> None:
    """What cannot be told apart by its arguments is refused, by each of the three doors."""
    for door in (cm.with_infra(), cm.to_config_model, cm.to_config):
        with pytest.raises(cm.DefinitionError, match=message):
            door(func)


def test_settings_are_given_by_name() -> None:
    """A decorator without its parentheses says what to write."""
    with pytest.raises(cm.DefinitionError, match=r"write @with_infra\(folder=...\), or @with_infra\(\)"):
        cm.with_infra(add)  # type: ignore[arg-type]


# -- configurations ---------------------------------------------------------------------------------------------------


def test_to_config() -> None:
    """Arguments by name, and the settings; positional-only parameters by name too."""
    config = cm.to_config(shadowing, copy=1, json=2, infra={"cluster": "threadpool"})

    assert (config.build(), config.infra.cluster) == (4, "threadpool")
    assert cm.to_config_model(shadowing) is cm.to_config_model(shadowing)
    assert config == cm.to_config(shadowing, copy=1, json=2, infra={"cluster": "threadpool"})


def test_to_config_model() -> None:
    """The factory takes the function's own arguments, and its model is a CachedModel of them."""
    factory = cm.to_config_model(add)

    assert factory(1).build() == 1200
    assert factory(1, 3, 4, d=5).build() == 1345
    assert factory(1, c=7).build.uid().startswith("a=1,c=7-")
    assert issubclass(factory.model, cm.CachedModel)
    assert list(factory.model.model_fields) == ["infra", "a", "b", "c", "d"]
    assert factory.model.__cache_name__ == f"{__name__}:add"
    assert pickle.loads(pickle.dumps(factory(1))).build() == 1200
    with pytest.raises(TypeError, match="missing a required argument"):
        factory()  # type: ignore[call-arg]


def test_a_decorated_function_keeps_its_settings() -> None:
    """`to_config` of a decorated function is its own configuration."""
    assert cm.to_config(power, base=2).infra.version == "2"
    assert cm.to_config(power, base=2) == power.config(2)


def test_excluded_parameters(tmp_path: Path) -> None:
    """A parameter marked NotInUid changes nothing in the uid."""

    @cm.with_infra(folder=tmp_path)
    def train(x: int, device: tp.Annotated[str, cm.NotInUid] = "cpu") -> int:
        CALLS.append(device)
        return x

    assert train(1) == train(1, device="cuda") == 1
    assert CALLS == ["cpu"]


def test_two_functions_of_one_name_differ(tmp_path: Path) -> None:
    """Local functions that differ in their source never share an entry."""

    def make(factor: int) -> tp.Any:
        @cm.with_infra(folder=tmp_path)
        def scale(x: int) -> int:
            return x * factor

        return scale

    assert [make(2)(3), make(4)(3), make(2)(3)] == [6, 12, 6]


SCRIPT = """
import sys
import cachedmodel as cm

@cm.with_infra(cluster="processpool", folder=sys.argv[1])
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci.__wrapped__(n - 1) + fibonacci.__wrapped__(n - 2)

@cm.with_infra(cluster="processpool")
def double(n: int) -> int:
    return 2 * n

if __name__ == "__main__":
    print(fibonacci(9), fibonacci.job(8).result(), double(4))
"""


def test_functions_of_a_script_run_in_processes(tmp_path: Path) -> None:
    """A function of ``__main__`` that names itself runs on the process pool."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    done = subprocess.run([sys.executable, script, tmp_path / "cache"], capture_output=True, text=True)

    assert (done.stdout.split(), done.stderr) == (["34", "21", "8"], "")
