"""``neuroreel doctor``: what this machine has, what is missing for which command, and how to get it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from neuroreel import __version__
from neuroreel.encoding.dwiseneuro.native import COMPILERS
from neuroreel.memory import machine_bytes, memory_limit

OK, MISSING, BROKEN, NOTE = "ok", "missing", "broken", "note"

CORE = (  # import names; nothing works without these
    *("numpy", "scipy", "torch", "lightning", "safetensors", "xarray", "h5py", "h5netcdf", "PIL", "imagehash"),
    *("skimage", "sklearn", "matplotlib", "jinja2", "tyro", "tqdm", "pandas", "filelock", "lazy_loader"),
)
EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {  # from pyproject.toml: their libraries, and what they are for
    "export": (("tifffile", "imageio_ffmpeg", "zarr"), "TIFF, MP4 and Zarr: export, movies in files"),
    "download": (("requests", "urllib3"), "download"),
    "nwb": (("pynwb", "hdmf"), "import and export of NWB files"),
    "figures": (("statsmodels",), "figures with statistics"),
    "workflow": (
        ("snakemake", "snakemake_executor_plugin_slurm", "pydantic", "pydantic_core"),
        "workflow, on one machine or on Slurm",
    ),
    "notebooks": (("jupytext", "nbclient", "ipykernel"), "notebooks"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the answer: what was checked, whether it is fine, and how to fix it."""

    name: str
    status: str
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f"\n{'':11}{self.fix}" if self.fix else ""
        return f"  {self.status:<8} {self.name}: {self.detail}{fix}"


@dataclass(frozen=True)
class Health:
    """All findings, by section."""

    sections: dict[str, list[Finding]]

    @property
    def broken(self) -> bool:
        """True if something that every command needs is broken."""
        return any(finding.status == BROKEN for findings in self.sections.values() for finding in findings)

    def __str__(self) -> str:
        return "\n\n".join("\n".join([title, *map(str, findings)]) for title, findings in self.sections.items())

    def to_json(self) -> str:
        """The sections as an object of lists."""
        sections = {title: [asdict(finding) for finding in findings] for title, findings in self.sections.items()}
        return json.dumps({"broken": self.broken, **sections}, indent=1)


def examine(folder: Path | None = None) -> Health:
    """Check everything that a command may need, without changing anything or using the network.

    Parameters
    ----------
    folder
        Folder whose disk is checked; the current folder by default.
    """
    return Health(
        {
            "Core": _core(),
            "Devices": _devices(),
            "Memory and disk": [_memory(), _disk(folder or Path.cwd())],
            "Threads": _threads(),
            "Commands that need more": [_extra(name) for name in EXTRAS],
            "Programs": _programs(),
        }
    )


def _core() -> list[Finding]:
    found = [Finding("neuroreel", OK, f"{__version__} on Python {platform.python_version()}, {platform.platform()}")]
    for name in CORE:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a damaged library can raise nearly anything
            why = f"cannot be imported ({type(error).__name__}: {error})"
            found.append(Finding(name, BROKEN, why, "pip install --force-reinstall neuroreel"))
        else:
            if name in ("numpy", "torch", "lightning"):
                found.append(Finding(name, OK, str(module.__version__)))
    if not any(finding.status == BROKEN for finding in found):
        found.append(Finding("other libraries", OK, f"all {len(CORE) - 3} can be imported"))
    return found


def _devices() -> list[Finding]:
    try:
        import torch
    except Exception:  # reported under Core
        return []
    found = [_cuda_device(number) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append(Finding("mps", OK, "Apple GPU; name it with --device mps"))
    unseen = [] if torch.cuda.device_count() else _gpus_of_driver()
    if unseen:
        why, fix = _why_unseen(torch.version.cuda or torch.version.hip)
        found.append(Finding("GPU", MISSING, f"{', '.join(unseen)} is there, but PyTorch does not see it: {why}", fix))
    if not found:
        found.append(Finding("GPU", NOTE, "none; everything works on CPUs, full-size models slowly"))
    return found


def _cuda_device(number: int) -> Finding:
    """A GPU that PyTorch sees; adding two numbers on it shows whether it is too new or too old for this PyTorch."""
    import torch

    name = f"cuda:{number}"
    try:
        properties = torch.cuda.get_device_properties(number)
        torch.ones(1, device=name).add(1).cpu()
        free, total = torch.cuda.mem_get_info(number)
    except Exception as error:  # torch raises several types, out-of-memory among them if other processes fill the GPU
        fix = "choose another with --device, or install the PyTorch built for it: https://pytorch.org/get-started"
        return Finding(name, MISSING, f"seen, but cannot compute ({str(error).partition(chr(10))[0]})", fix)
    return Finding(name, OK, f"{properties.name}, {_size(free)} of {_size(total)} free")


def _gpus_of_driver() -> list[str]:
    """Names of the GPUs that the driver's own program lists, or that have a device file."""
    program = shutil.which("nvidia-smi")
    if program is not None:
        command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return []
        if answer.returncode == 0:
            return [" with driver ".join(line.split(", ")) for line in answer.stdout.splitlines() if line.strip()]
    return [f"an NVIDIA GPU ({file})" for file in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def _why_unseen(built_for: str | None) -> tuple[str, str]:
    """Why PyTorch does not see an existing GPU, and what to do."""
    if built_for is None:
        return "this PyTorch is built for CPUs only", "install one with CUDA: https://pytorch.org/get-started"
    for variable in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        value = os.environ.get(variable)
        if value is not None and value.strip() in ("", "-1", "void", "none", "NoDevFiles"):
            return f"{variable} is {value!r}", f"unset {variable}, or ask the scheduler for a GPU (--gres=gpu:1)"
    if shutil.which("nvidia-smi") is None:
        return "the driver's libraries are not in this container", "start it with apptainer --nv or docker --gpus all"
    fix = "update the driver, or install a PyTorch for an older CUDA: https://pytorch.org/get-started"
    return f"PyTorch is built for CUDA {built_for}, the driver may be older", fix


def _memory() -> Finding:
    total, free = machine_bytes("MemTotal"), machine_bytes("MemAvailable")
    limit = memory_limit()
    if total is None:
        return Finding("memory", NOTE, "not known on this system")
    detail = f"{_size(total)}" + ("" if free is None else f", {_size(free)} available")
    if limit is not None and limit < total:
        detail += f"; this process may use {_size(limit)} (its control group's limit)"
    return Finding("memory", OK, detail)


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    detail = f"{_size(usage.free)} of {_size(usage.total)} free"
    if not os.access(folder, os.W_OK):
        return Finding(str(folder), MISSING, f"{detail}, but it is not writable", "change to a folder of your own")
    return Finding(str(folder), OK, detail)


def _threads() -> list[Finding]:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = physical_cores()
    detail = f"{allowed} logical" + (f", {physical} physical" if physical else "")
    found = [Finding("processors", OK, detail + (f" ({os.cpu_count()} in the machine)" if os.cpu_count() else ""))]
    try:
        import torch

        threads = torch.get_num_threads()
    except Exception:  # reported under Core
        return found
    asked = os.environ.get("OMP_NUM_THREADS")
    detail = f"{threads} (OMP_NUM_THREADS {'is not set' if asked is None else 'is ' + asked})"
    if threads > allowed:
        fix = f"export OMP_NUM_THREADS={allowed}"
        return [*found, Finding("torch", NOTE, f"{detail}: more threads than processors slow each other down", fix)]
    return [*found, Finding("torch", OK, detail)]


def physical_cores() -> int | None:
    """Cores of the processors this process may use, without hyper-threads; None if the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    siblings = set()
    for processor in os.sched_getaffinity(0):
        file = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            siblings.add(file.read_text(encoding="utf-8").strip())
        except OSError:
            return None
    return len(siblings)


def _extra(name: str) -> Finding:
    libraries, what = EXTRAS[name]
    missing = [library for library in libraries if not _is_there(library)]
    title = f"[{name}]"
    if missing:
        return Finding(title, MISSING, f"{', '.join(missing)}, for {what}", f"pip install 'neuroreel[{name}]'")
    return Finding(title, OK, what)


def _is_there(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def _programs() -> list[Finding]:
    found = []
    for name, commands, what, fix in PROGRAMS:
        where = next((path for command in commands if (path := shutil.which(command))), None)
        found.append(Finding(name, OK, where) if where else Finding(name, NOTE, f"not found; {what}", fix))
    return found


PROGRAMS: Sequence[tuple[str, tuple[str, ...], str, str]] = (
    ("Slurm", ("sbatch",), "only a workflow on a cluster needs it", ""),
    ("Apptainer", ("apptainer", "singularity"), "only a workflow in a container needs it", ""),
    (
        "C++ compiler",
        COMPILERS,
        "without one, reconstructing with DwiseNeuro models takes twice as long on a CPU",
        "Debian, Ubuntu: apt-get install g++",
    ),
)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
