"""A guest with the kernel's own v4l2loopback and vivid (a webcam that is none), from Debian's packages, under QEMU."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = (
    "apt-get",
    "dpkg",
    "make",
    "gcc",
    "depmod",
    "modprobe",
    "cpio",
    "gzip",
    "busybox",
    "qemu-system-x86_64",
)
MODULES = ("9p", "9pnet_virtio", "virtio_pci", "vivid", "videodev", "videobuf2-vmalloc", "overlay")
BOOT_AND_RUN_SECONDS = 900
"""Everything is emulated, one instruction after the other, and some twenty times slower."""


def missing():
    """Why there can be no guest here; None: there can."""
    without = [program for program in PROGRAMS if shutil.which(program) is None]
    if without:
        return f"no {', '.join(without)} here"
    return None if kernel() else "no headers of a Debian kernel here (linux-headers-amd64)"


def kernel():
    """The newest Debian kernel whose headers are here."""
    found = [path for path in Path("/lib/modules").glob("*-amd64") if (path / "build").exists()]
    return max(
        found,
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)],
        default=None,
    )


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def build(folder):
    """Kernel and first file system; returns their paths. Downloads some 70 MB."""
    release = kernel().name
    run("apt-get", "download", f"linux-image-{release}", "v4l2loopback-dkms", cwd=folder)
    for package in folder.glob("*.deb"):
        run("dpkg", "-x", str(package), str(folder / "root"))
    source = next((folder / "root/usr/src").glob("v4l2loopback-*"))
    run("make", "-C", f"/lib/modules/{release}/build", f"M={source}", "modules")
    run("depmod", "-b", str(folder / "root"), release)
    first = folder / "first"
    for name in ("bin", "modules", "mnt", "proc", "sys", "dev"):
        (first / name).mkdir(parents=True)
    files = []
    for module in MODULES:
        told = run("modprobe", "-d", str(folder / "root"), "-S", release, "--show-depends", module)
        files += [line.split()[1] for line in told.splitlines() if line.startswith("insmod")]
    for number, file in enumerate(dict.fromkeys(files)):
        shutil.copy(file, first / "modules" / f"{number:02}-{Path(file).name}")
    shutil.copy(source / "v4l2loopback.ko", first)
    shutil.copy(shutil.which("busybox"), first / "bin" / "busybox")
    shutil.copy(HERE / "init", first / "init")
    (first / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(first)) for path in sorted(first.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc"],
        input=names.encode(),
        cwd=first,
        check=True,
        capture_output=True,
    ).stdout
    (folder / "first.cpio").write_bytes(packed)
    return next((folder / "root/boot").glob("vmlinuz-*")), folder / "first.cpio"


def boot(made, out, trials, caps=0):
    """Run trials of ``guest.py`` in a guest; returns (trial -> what it found, what the guest said)."""
    out.mkdir()
    given = {
        "caps": caps,
        "out": out,
        "python": sys.executable,
        "script": HERE / "guest.py",
        "trials": ",".join(trials),
    }
    words = " ".join(
        [
            "console=ttyS0",
            "quiet",
            "panic=-1",
            *(f"{name}={value}" for name, value in given.items()),
            "end",
        ]
    )
    share = "security_model=none,multidevs=remap"
    command = [
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "Nehalem",
        "-m",
        "4096",
        "-smp",
        "2",
    ]
    command += ["-kernel", str(made[0]), "-initrd", str(made[1]), "-append", words]
    command += ["-virtfs", f"local,path=/,mount_tag=host,readonly=on,{share}"]
    command += [
        "-virtfs",
        f"local,path={out},mount_tag=out,{share}",
        "-nographic",
        "-no-reboot",
        "-nic",
        "none",
    ]
    options = {
        "stdin": subprocess.DEVNULL,
        "capture_output": True,
        "text": True,
        "errors": "replace",
    }
    ran = subprocess.run(command, timeout=BOOT_AND_RUN_SECONDS, check=False, **options)
    found = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    return found, ran.stdout[-4000:] + ran.stderr[-1000:]
