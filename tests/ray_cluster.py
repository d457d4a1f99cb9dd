"""A Ray cluster of two machines with one processor each, as processes on this one, for tests.

Run as a program it writes its address, and ends with its input. It runs by itself, so that
whoever uses it comes to a cluster that was there before.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

NODE = {
    "num_cpus": 1,
    "object_store_memory": 80 * 2**20,
    "include_dashboard": False,
    "node_ip_address": "127.0.0.2",  # Ray takes 127.0.0.1 for this machine's outer address
}


@contextlib.contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """Variables with which a process finds a cluster that lasts as long as this is entered.

    Its ports are open to the network, for Ray has no other way; a token keeps strangers out.
    """
    folder = tempfile.mkdtemp(prefix="ray")  # not in pytest's: sockets have short names
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}
    own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder}
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | access | own,
        start_new_session=True,
    ) as program:
        try:
            address = program.stdout.readline().strip()
            if not address:
                raise RuntimeError("Ray's cluster did not start; it says why on the error stream")
            yield access | {"RAY_ADDRESS": address}
        finally:  # all that it started is of its group
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


if __name__ == "__main__":
    main()
