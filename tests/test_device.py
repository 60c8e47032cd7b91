"""What training runs on: the choice of precision says why, and compiling changes the speed alone."""

import pytest
import torch
from helpers import TINY, opened

from fastcolor import device, stage1_pretrain_gen
from fastcolor.device import choose_precision
from fastcolor.errors import UserError
from fastcolor.networks.critics import PatchCriticConfig
from fastcolor.networks.registry import build
from fastcolor.runs.run import open_run

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, ("bf16", "the processor has amx_bf16")),
        ({"amx_bf16": False, "avx512_bf16": True}, ("bf16", "the processor has avx512_bf16")),
        ({"avx2": True}, ("fp32", "the processor has no units for bf16")),
        ({}, ("fp32", "the processor has no units for bf16")),
    ],
)
def test_auto_takes_bf16_where_the_processor_has_units_for_it_and_says_why(units, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    assert choose_precision("auto", CPU) == expected
    assert choose_precision("fp32", CPU)[0] == "fp32"
    assert choose_precision("bf16", CPU)[0] == "bf16"


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_that_only_emulates_bf16_gets_fp32(supported, expected, monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or supported
    )
    assert choose_precision("auto", torch.device("cuda"))[0] == expected


def test_a_stage_says_what_it_runs_on(scenes, tmp_path, capsys):
    stage1_pretrain_gen.main(data=str(scenes), run=str(tmp_path / "run"), pretrained="none", epochs=1, **TINY)
    assert "stage1 on cpu: fp32 (as asked), batches of 4\n" in capsys.readouterr().out


def test_a_run_without_a_compiler_is_told_so_before_anything_is_made(scenes, tmp_path, monkeypatch):
    def no_compiler(function):
        raise RuntimeError("No working C++ compiler found\nand much more")

    device.check_compiler.cache_clear()
    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(UserError, match="--compile does not work here \\(No working C\\+\\+ compiler found\\)"):
        open_run(data=str(scenes), run=str(tmp_path / "run"), compile=True, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_under_the_same_names(scenes, tmp_path):
    torch.manual_seed(0)
    network = build(PatchCriticConfig(channels=8)).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Dropout2d):
            layer.p = 0.0  # chance is another one when compiled
    images, before = torch.randn(2, 3, 32, 32), {name: value.clone() for name, value in network.state_dict().items()}

    def learned() -> dict[str, torch.Tensor]:
        network.load_state_dict(before)
        network.zero_grad()
        network(images).square().sum().backward()
        return {
            **{n: p.grad.clone() for n, p in network.named_parameters()},
            **{n: b.clone() for n, b in network.named_buffers()},
        }

    eager, names = learned(), list(network.state_dict())
    assert opened(scenes, tmp_path / "run", compile=True).machine.place(network) is network
    assert network._compiled_call_impl is not None  # else the comparison says nothing
    compiled = learned()
    assert list(network.state_dict()) == names
    assert compiled.keys() == eager.keys()
    for name in eager:
        torch.testing.assert_close(compiled[name], eager[name], rtol=1e-3, atol=1e-4)
