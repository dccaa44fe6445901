"""The guest's script and the call that boots it."""

from __future__ import annotations

from pathlib import Path

from lab.kernels import KernelImage
from lab.vm import VmSettings, guest_script, vng_command

IMAGE = KernelImage("6.1.0-1-amd64", Path("/k"))


def test_the_command_keeps_its_words_and_its_status_comes_back():
    script = guest_script(["echo", "two words"], Path("/shared"))
    assert "echo 'two words' </dev/null >/shared/output.log 2>&1\n" in script
    assert "echo $? > /shared/.status" in script


def test_the_guest_finds_what_the_lab_keeps_on_its_host(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/kept")
    assert "export XDG_CACHE_HOME=/kept\n" in guest_script(["true"], Path("/shared"))


def test_hidden_folders_are_covered_before_the_command():
    script = guest_script(["true"], Path("/shared"), ["/usr/src"])
    assert script.index("mount -t tmpfs none /usr/src") < script.index("true </dev/null")


def test_a_network_is_there_on_request_only():
    assert "10.0.2.15/24" not in guest_script(["true"], Path("/shared"))
    script = guest_script(["true"], Path("/shared"), network=True)
    assert script.index("ip addr add 10.0.2.15/24 dev $card") < script.index("true </dev/null")
    settings = VmSettings(network=True)
    assert "--no-dhcp" in vng_command(IMAGE, Path("/tmp/x.sh"), Path("/shared"), settings)


def test_never_kvm_and_the_shared_folder_writable():
    call = vng_command(IMAGE, Path("/tmp/x.sh"), Path("/shared"), VmSettings(append="quiet"))
    assert "--disable-kvm" in call
    assert "--rwdir=/shared" in call
    assert call[call.index("--run") + 1] == "/k/boot/vmlinuz-6.1.0-1-amd64"
    assert call[call.index("--append") + 1] == "quiet"


def test_the_guest_has_no_instructions_that_are_emulated_wrongly():
    call = vng_command(IMAGE, Path("/tmp/x.sh"), Path("/shared"), VmSettings())
    assert any(word.startswith("--qemu-opts=") and "-cpu max,-avx2" in word for word in call)
