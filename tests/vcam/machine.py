"""A QEMU guest with the kernel modules v4l2loopback and vivid (a simulated webcam) of Debian."""

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
"""Time limit in seconds; emulation (TCG) is some twenty times slower than the host."""


def missing():
    """Return why a guest cannot run here; None if it can."""
    programs = [program for program in PROGRAMS if shutil.which(program) is None]
    if programs:
        return f"no {', '.join(programs)} here"
    return None if kernel() else "no headers of a Debian kernel here (linux-headers-amd64)"


def kernel():
    """Return the folder of the newest Debian kernel with headers; None without one."""
    found = [path for path in Path("/lib/modules").glob("*-amd64") if (path / "build").exists()]
    return max(
        found,
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)],
        default=None,
    )


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def build(folder):
    """Build an initramfs, and return the paths of kernel and initramfs. Downloads some 70 MB."""
    release = kernel().name
    run("apt-get", "download", f"linux-image-{release}", "v4l2loopback-dkms", cwd=folder)
    for package in folder.glob("*.deb"):
        run("dpkg", "-x", str(package), str(folder / "root"))
    source = next((folder / "root/usr/src").glob("v4l2loopback-*"))
    run("make", "-C", f"/lib/modules/{release}/build", f"M={source}", "modules")
    run("depmod", "-b", str(folder / "root"), release)
    initramfs = folder / "initramfs"
    for name in ("bin", "modules", "mnt", "proc", "sys", "dev"):
        (initramfs / name).mkdir(parents=True)
    files = []
    for module in MODULES:
        query = ("modprobe", "-d", str(folder / "root"), "-S", release, "--show-depends", module)
        lines = run(*query).splitlines()
        files += [line.split()[1] for line in lines if line.startswith("insmod")]
    for number, file in enumerate(dict.fromkeys(files)):
        shutil.copy(file, initramfs / "modules" / f"{number:02}-{Path(file).name}")
    shutil.copy(source / "v4l2loopback.ko", initramfs)
    shutil.copy(shutil.which("busybox"), initramfs / "bin" / "busybox")
    shutil.copy(HERE / "init", initramfs / "init")
    (initramfs / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(initramfs)) for path in sorted(initramfs.rglob("*")))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc"],
        input=names.encode(),
        cwd=initramfs,
        check=True,
        capture_output=True,
    ).stdout
    (folder / "initramfs.cpio").write_bytes(archive)
    return next((folder / "root/boot").glob("vmlinuz-*")), folder / "initramfs.cpio"


def boot(guest, out, trials, caps=0):
    """Run trials of ``guest.py``, and return ({trial: results}, the guest's output)."""
    out.mkdir()
    arguments = {
        "caps": caps,
        "out": out,
        "python": sys.executable,
        "script": HERE / "guest.py",
        "trials": ",".join(trials),
    }
    command_line = " ".join(
        [
            "console=ttyS0",
            "quiet",
            "panic=-1",
            *(f"{name}={value}" for name, value in arguments.items()),
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
    command += ["-kernel", str(guest[0]), "-initrd", str(guest[1]), "-append", command_line]
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
    process = subprocess.run(command, timeout=BOOT_AND_RUN_SECONDS, check=False, **options)
    results = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    return results, process.stdout[-4000:] + process.stderr[-1000:]
