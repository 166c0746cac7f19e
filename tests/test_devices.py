"""The choice of a device or provider, its check against the CPU, and batches that fit into its memory."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from dmlcli import devices, onnx_runtime, storage
from dmlcli.devices import Choice, choices, open_forward, sample_pictures, sized
from dmlcli.encoder import Encoder
from dmlcli.errors import CannotRun, UsageError
from dmlcli.model import DEVICE_CHECKS, Model, open_model
from dmlcli.standard_graph import standard_graph
from dmlcli.types import Pixels
from dmlcli.workspace import Workspace

OPENVINO = "OpenVINOExecutionProvider"


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


@pytest.mark.parametrize(
    "listed, gpu, torch_has, device, expected",
    [
        ((), False, "", "auto", [Choice()]),
        ((), True, "", "auto", [Choice()]),
        ((), True, "cuda", "auto", [Choice("cuda"), Choice()]),
        (("cuda",), True, "cuda", "auto", [Choice("cuda", "cuda"), Choice("cuda"), Choice()]),
        (("cuda",), False, "cuda", "auto", [Choice()]),
        (("coreml",), True, "mps", "auto", [Choice("", "coreml"), Choice("mps"), Choice()]),
        (("openvino",), False, "", "auto", [Choice("", "openvino"), Choice()]),
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
    expected = Encoder(model).forward(sample_pictures(model.record.image))
    standing_in = install("openvino")
    forward = open_forward(model, "auto")
    assert [name for name, _ in standing_in.opened] == [OPENVINO]
    standing_in.batches.clear()
    assert np.allclose(forward(sample_pictures(model.record.image)), expected, atol=1e-4)
    assert standing_in.batches == [4]


def test_the_check_is_made_once_and_kept_with_the_model(install: Any, model: Model) -> None:
    first = install("openvino")
    open_forward(model, "auto")
    assert first.batches == [4]
    kept = json.loads((model.folder / DEVICE_CHECKS).read_text())["cosines"]
    assert [round(cosine, 4) for cosine in kept.values()] == [1.0]
    again = install("openvino", off=0.1)  # would be refused if it was checked
    open_forward(open_model(model.folder), "auto")
    assert again.batches == []


def test_a_wrong_provider_is_refused_with_the_figure(install: Any, model: Model) -> None:
    install("openvino", off=1e-2)
    for _ in range(2):  # measured, then remembered
        with pytest.raises(
            CannotRun, match=r"provider openvino is not exact enough .* cosine of 0\.9\d+ to those"
        ) as e:
            open_forward(model, "auto", "openvino")
        assert e.value.hint == "--device cpu"


def test_auto_falls_back_to_the_cpu_and_says_so(install: Any, model: Model) -> None:
    pictures = sample_pictures(model.record.image)
    expected = Encoder(model).forward(pictures)
    install("openvino", off=1e-2)
    with pytest.warns(UserWarning, match=r"not exact enough .*; cpu is used instead"):
        forward = open_forward(model, "auto")
    assert np.array_equal(forward(pictures), expected)


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
    standing_in = install("openvino")
    for _ in range(2):
        open_forward(model, "auto")
    assert standing_in.batches == [4, 4]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1, "cosines": {"a": "b"}}'])
def test_a_damaged_record_of_checks_is_measured_anew(install: Any, model: Model, text: str) -> None:
    (model.folder / DEVICE_CHECKS).write_text(text)
    standing_in = install("openvino")
    open_forward(open_model(model.folder), "auto")
    assert standing_in.batches == [4]
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


def test_sample_pictures_look_like_normalized_photos(model: Model) -> None:
    image = model.record.image
    pictures = sample_pictures(image)
    assert pictures.shape == (4, 3, image.crop, image.crop) and pictures.dtype == np.float32
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (image.mean, image.std))
    assert (pictures * std + mean).min() > -1e-5 and (pictures * std + mean).max() < 1 + 1e-5
    assert np.array_equal(pictures, sample_pictures(image))
