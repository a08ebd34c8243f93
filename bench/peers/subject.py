"""Subjects of the comparison: a server, the way in, and the credential that its requests carry."""

import dataclasses


@dataclasses.dataclass
class Subject:
    """One row of the tables."""

    name: str
    """As the tables print it."""
    key: str
    """As the JSON names it; unique within a case."""
    port: int
    processes: list
    """The processes whose time and memory count."""
    area: str = "/open"
    """Path below which requests go: `/open` for no check, `/closed` for a signed-in caller."""
    credential: str | None = None
    """`bearer`, `cookie` or nothing."""
    session: tuple | None = None
    """Path and beginning of the cookies' names, for `cookie`."""
    cases: frozenset = frozenset({"get"})
    tls_port: int | None = None

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self):
        return sum(process.cpu_seconds() for process in self.processes)

    def memory_bytes(self):
        return sum(process.memory_bytes() for process in self.processes)

    def forget_logs(self):
        for process in self.processes:
            process.forget_log()
