"""The choice of a device or provider, its check against the CPU, and batches that fit into its memory."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

import dmlcli
from dmlcli import devices, onnx_runtime, storage
from dmlcli.devices import Choice, choices, open_forward, sized
from dmlcli.encoder import Encoder
from dmlcli.errors import CannotRun, UsageError
from dmlcli.model import DEVICE_CHECKS, Model, open_model
from dmlcli.standard_graph import standard_graph
from dmlcli.types import Pixels
from dmlcli.workspace import Workspace
from tests.conftest import Mission

COREML = "CoreMLExecutionProvider"


class StandIn:
    """ONNX Runtime with providers that it has not: they compute on the CPU, and are off by `off` in each number."""

    def __init__(self, *listed: str, off: float = 0.0, starts: bool = True) -> None:
        self.listed, self.off, self.starts = listed, off, starts
        self.opened: list[Any] = []
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return [onnx_runtime.PROVIDERS[name] for name in self.listed] + ["CPUExecutionProvider"]

    def InferenceSession(self, graph: Any, options: Any, providers: list[Any]) -> Any:
        real = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        if providers == ["CPUExecutionProvider"]:
            return real
        self.opened.append(providers[0])

        def run(names: Any, given: dict[str, Pixels]) -> list[Pixels]:
            self.batches.append(len(next(iter(given.values()))))
            found = real.run(names, given)[0]
            wrong = found + self.off * np.where(np.arange(found.shape[1]) % 2, 1, -1)
            return [wrong / np.linalg.norm(wrong, axis=1, keepdims=True)]

        used = [providers[0][0], "CPUExecutionProvider"] if self.starts else ["CPUExecutionProvider"]
        return SimpleNamespace(
            run=run, get_inputs=real.get_inputs, get_outputs=real.get_outputs, get_providers=lambda: used
        )


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a stand-in for ONNX Runtime in its place."""

    def put(*listed: str, off: float = 0.0, starts: bool = True, gpu: bool = False) -> StandIn:
        made = StandIn(*listed, off=off, starts=starts)
        monkeypatch.setattr(onnx_runtime, "_runtime", lambda: made)
        monkeypatch.setattr(devices, "may_have_gpu", lambda: gpu)
        return made

    return put


@pytest.fixture
def model(begun: Path) -> Model:
    return open_model(Workspace(begun).model if Workspace(begun).model.exists() else Workspace(begun).frozen)


def pictures(model: Model, count: int = 8) -> Pixels:
    crop = model.record.image.crop
    return np.random.default_rng(0).standard_normal((count, 3, crop, crop)).astype(np.float32)


@pytest.mark.parametrize(
    "listed, gpu, torch_has, device, expected",
    [
        ((), False, "", "auto", [Choice()]),
        ((), True, "", "auto", [Choice()]),
        ((), True, "cuda", "auto", [Choice("cuda"), Choice()]),
        (("cuda",), True, "cuda", "auto", [Choice("cuda", "cuda"), Choice("cuda"), Choice()]),
        (("cuda",), False, "cuda", "auto", [Choice()]),
        (("coreml",), True, "mps", "auto", [Choice("", "coreml"), Choice("mps"), Choice()]),
        (("openvino",), True, "", "auto", [Choice()]),
        (("cuda", "openvino"), True, "", "cpu", [Choice()]),
        (("cuda",), True, "", "cuda:1", [Choice("cuda:1", "cuda"), Choice("cuda:1")]),
        ((), True, "", "cuda", [Choice("cuda")]),
        (("coreml",), True, "", "mps", [Choice("mps")]),
    ],
)
def test_the_best_device_comes_first_and_the_cpu_last(
    install: Any, monkeypatch: pytest.MonkeyPatch, listed: Any, gpu: bool, torch_has: str, device: str, expected: Any
) -> None:
    install(*listed, gpu=gpu)
    monkeypatch.setattr(devices, "_device_of_torch", lambda: torch_has)
    assert choices(device, None) == expected


def test_auto_starts_no_gpu_for_an_image_or_two_and_asks_no_library(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_device_of_torch", pytest.fail)
    install("cuda", gpu=True)
    assert choices("auto", None, few=True) == [Choice()]
    install(gpu=False)
    assert choices("auto", None) == [Choice()]


def test_a_model_without_a_graph_has_no_provider(install: Any) -> None:
    install("openvino", "cuda")
    assert choices("auto", None, graph=False) == [Choice()]
    assert choices("cuda", None, graph=False) == [Choice("cuda")]
    with pytest.raises(CannotRun, match="none"):
        choices("auto", "openvino", graph=False)


def test_a_requested_provider_is_the_only_choice(install: Any) -> None:
    install("cuda", "openvino")
    assert choices("auto", "openvino") == [Choice("", "openvino")]
    assert choices("cuda:1", "cuda") == [Choice("cuda:1", "cuda")]
    assert choices("auto", "cuda") == [Choice("cuda", "cuda")]
    with pytest.raises(UsageError, match="does not run on --device cpu"):
        choices("cpu", "openvino")
    install()
    with pytest.raises(UsageError, match=r"has no provider openvino \(it has: cpu only\)"):
        choices("auto", "openvino")


def test_an_exact_provider_embeds_whole_batches(install: Any, model: Model) -> None:
    expected = Encoder(model).forward(pictures(model))
    standing_in = install("coreml", gpu=True)
    forward = open_forward(model, "auto")
    assert [name for name, _ in standing_in.opened] == [COREML]
    assert np.allclose(forward(pictures(model)), expected, atol=1e-4)
    assert standing_in.batches == [8, 8]  # the check, then the batch
    forward(pictures(model, 32))
    assert standing_in.batches == [8, 8, 32]


def test_the_check_is_made_once_and_kept_with_the_model(install: Any, model: Model) -> None:
    first = install("coreml", gpu=True)
    open_forward(model, "auto")(pictures(model))
    assert first.batches == [8, 8]
    kept = json.loads((model.folder / DEVICE_CHECKS).read_text())["cosines"]
    assert [round(cosine, 4) for cosine in kept.values()] == [1.0]
    again = install("coreml", off=0.1, gpu=True)  # would be refused if it was checked
    open_forward(open_model(model.folder), "auto")(pictures(model))
    assert again.batches == [8]


def test_fewer_than_eight_photos_are_checked_but_prove_nothing_for_others(install: Any, model: Model) -> None:
    standing_in = install("coreml", gpu=True)
    for _ in range(2):
        open_forward(model, "auto")(pictures(model, 2))
    assert standing_in.batches == [2, 2, 2, 2] and not (model.folder / DEVICE_CHECKS).exists()


def test_a_wrong_provider_is_refused_with_the_figure(install: Any, model: Model) -> None:
    install("openvino", off=1e-2)
    for _ in range(2):  # measured, then remembered
        with pytest.raises(
            CannotRun, match=r"provider openvino is not exact enough .* cosine of 0\.9\d+ to those"
        ) as e:
            open_forward(model, "auto", "openvino")(pictures(model))
        assert e.value.hint == "--device cpu"


def test_auto_falls_back_to_the_cpu_and_says_so(install: Any, model: Model) -> None:
    batch = pictures(model)
    expected = Encoder(model).forward(batch)
    install("coreml", off=1e-2, gpu=True)
    with pytest.warns(UserWarning, match=r"not exact enough .*; cpu is used instead"):
        found = open_forward(model, "auto")(batch)
    assert np.array_equal(found, expected)
    with pytest.warns(UserWarning, match="cpu is used instead"):  # remembered
        assert np.array_equal(open_forward(model, "auto")(batch), expected)


def test_a_provider_that_does_not_start_is_not_checked(install: Any, model: Model) -> None:
    """ONNX Runtime goes on without it, on the CPU, and says nothing."""
    install("openvino", starts=False)
    with pytest.raises(CannotRun, match="openvino cannot run this model here: it did not start"):
        open_forward(model, "auto", "openvino")
    assert not (model.folder / DEVICE_CHECKS).exists()


def test_a_model_folder_that_cannot_be_written_is_checked_each_time(
    install: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(storage, "write_json", refuse)
    standing_in = install("coreml", gpu=True)
    for _ in range(2):
        open_forward(model, "auto")(pictures(model))
    assert standing_in.batches == [8, 8, 8, 8]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1, "cosines": {"a": "b"}}'])
def test_a_damaged_record_of_checks_is_measured_anew(install: Any, model: Model, text: str) -> None:
    (model.folder / DEVICE_CHECKS).write_text(text)
    standing_in = install("coreml", gpu=True)
    open_forward(open_model(model.folder), "auto")(pictures(model))
    assert standing_in.batches == [8, 8]
    assert json.loads((model.folder / DEVICE_CHECKS).read_text())["cosines"]


def test_the_provider_gets_standard_operators_and_the_number_of_its_gpu(install: Any, model: Model) -> None:
    import onnx

    standing_in = install("cuda", gpu=True)
    open_forward(model, "cuda:1", "cuda")
    assert standing_in.opened == [("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})]
    assert model.graph is not None
    graph = onnx.load_from_string(standard_graph(model.graph)).graph
    assert "FusedConv" not in {node.op_type for node in graph.node}


def test_batches_are_halved_until_they_fit_and_it_is_said_once() -> None:
    said: list[str] = []
    sizes: list[int] = []

    def forward(batch: Pixels) -> Pixels:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise RuntimeError("CUDA error: out of memory")
        return batch[:, :1, 0, 0]

    run = sized(forward, said.append)
    batch = np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1).repeat(3, axis=1)
    assert run(batch)[:, 0].tolist() == list(range(8))
    assert run(batch)[:, 0].tolist() == list(range(8))
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2] and len(said) == 1


def test_other_errors_and_single_images_that_do_not_fit_are_raised() -> None:
    def full(batch: Pixels) -> Pixels:
        raise RuntimeError("out of memory")

    def broken(batch: Pixels) -> Pixels:
        raise RuntimeError("illegal instruction")

    batch = np.zeros((4, 3, 2, 2), np.float32)
    with pytest.raises(RuntimeError, match="out of memory"):
        sized(full, lambda _: None)(batch)
    with pytest.raises(RuntimeError, match="illegal"):
        sized(broken, pytest.fail)(batch)


def test_photos_are_decoded_while_the_device_works(shop: Path) -> None:
    from dmlcli.catalog import open_catalog
    from dmlcli.embeddings import compute

    decoded: list[float] = []
    busy: list[tuple[float, float]] = []

    def view(data: bytes) -> Pixels:
        decoded.append(time.monotonic())
        time.sleep(0.02)
        return np.zeros((3, 2, 2), np.float32)

    def forward(batch: Pixels) -> Pixels:
        begun = time.monotonic()
        time.sleep(0.1)
        busy.append((begun, time.monotonic()))
        return np.ones((len(batch), 2), np.float32)

    compute(open_catalog(shop), view, sized(forward), "m", batch_size=2)
    assert any(start < at < end for start, end in busy for at in decoded)


@pytest.mark.parametrize("command", ["embed", "index", "query", "eval"])
def test_commands_take_a_device_and_a_provider(workspace: Path, mission: Mission, command: str, install: Any) -> None:
    """The provider is not installed, which each of them finds out where it embeds."""
    install()
    photo = mission.images()[0]
    given = photo if command == "query" else mission.catalog
    arguments = {"workspace": workspace, "provider": "openvino", "device": "auto"}
    if command == "eval":
        arguments |= {"queries": mission.catalog, "all": True}
    with pytest.raises(UsageError, match="has no provider openvino"):
        list(getattr(dmlcli, command)(given, **arguments).answers)


def test_a_query_of_a_photo_imports_no_torch_on_any_device_that_is_the_cpu(workspace: Path, mission: Mission) -> None:
    line = "import dmlcli, sys; from pathlib import Path; p = [Path(a) for a in sys.argv[1:]];"
    line += "list(dmlcli.query(p[0], workspace=p[1], device=sys.argv[3]).answers); print('torch' in sys.modules)"
    for device in ("auto", "cpu"):
        done = subprocess.run(
            [sys.executable, "-c", line, mission.images()[0], workspace, device],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "False\n"
