"""The machine under the comparison: pinned processes, their time and memory, ports, and a description for the table."""

import contextlib
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Unavailable(Exception):
    """A part that this machine does not have; the text is the reason."""


class Failed(Exception):
    """A measurement that does not count; the text is the reason."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, seconds=30):
    """Returns once `port` accepts connections."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.ended():
            break
        time.sleep(0.05)
    raise Unavailable(f"{process.name} does not listen: {process.last_words()}")


def command(name, *folders):
    """The path of a program, which may be in a folder that PATH lacks."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if not found:
        raise Unavailable(f"{name} is not installed")
    return found


class Process:
    """A program on one core. It ends with the run, and by the kernel if the run is killed."""

    def __init__(self, name, core, words, log, environment=None):
        self.name, self.log = name, pathlib.Path(log)
        pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *map(str, words)]
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                pinned, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
            )

    def ended(self):
        return self.child.poll() is not None

    def last_words(self):
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it printed nothing"

    def forget_log(self):
        """Empties the log, which a fast server fills with gigabytes."""
        os.truncate(self.log, 0)

    def ask_to_end(self):
        self.child.send_signal(signal.SIGTERM)

    def wait(self):
        """Waits for the end, and forces it after a while."""
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def family(self):
        """The ids of this process and its descendants."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                    parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
        family = [self.child.pid]
        for member in family:
            family += [child for child, parent in parents.items() if parent == member]
        return family

    def cpu_seconds(self):
        """Time of the processor, in user and system mode, of the whole family."""
        total = 0
        for member in self.family():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory_bytes(self):
        """Resident memory of the whole family; a page that several processes share counts once."""
        total = 0
        for member in self.family():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total


def two_cores():
    """The core of the proxy, and the core of load, upstream and provider."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("bench-peers: one core is not enough; the proxy and the load need one each")
    return cores[0], cores[1]


def description():
    """Processor, cores, memory, kernel, and how busy the machine is before the run."""
    info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "before": busy(),
    }


def busy(seconds=2):
    """The shares of all processor time that are used, and that the hypervisor gives to others, over a short time."""

    def times():
        fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields)
        return user + nice + system + irq + softirq, idle + iowait, steal

    before = times()
    time.sleep(seconds)
    used, idle, steal = (now - then for now, then in zip(times(), before))
    total = max(1, used + idle + steal)
    return {"used": round(used / total, 2), "stolen": round(steal / total, 2)}
