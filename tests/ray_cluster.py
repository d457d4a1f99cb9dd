"""A Ray cluster of two machines with one processor each, as processes on this one, for tests.

Run as a program it writes its address as its first line, and ends with its input. It runs by
itself, so that whoever uses it comes to a cluster that was there before.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

# Sockets have short names, so not in pytest's folders.
NODE = {
    "num_cpus": 1,
    "object_store_memory": 80 * 2**20,
    "include_dashboard": False,
    "node_ip_address": "127.0.0.2",
}


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Address of a cluster that lasts as long as this is entered; no process of it stays."""
    folder = tempfile.mkdtemp(prefix="ray")
    variables = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
        start_new_session=True,
    ) as program:
        try:
            yield program.stdout.readline().strip()
            program.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args=NODE)
    machines.add_node(**NODE)
    machines.wait_for_nodes()
    print(machines.address, flush=True)
    sys.stdin.read()
    machines.shutdown()


if __name__ == "__main__":
    main()
