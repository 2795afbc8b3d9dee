"""A Ray cluster of several nodes on this machine, in a process of its own that takes orders on its input.

Tests of other modules have another Ray in their process, and one process can have only one.
"""

import json
import os
import secrets
import subprocess
import sys


class Host:
    """A cluster that tests give orders to; use as a context."""

    def __init__(self, log, **head):
        from waiting import free_port  # our process has no other helpers

        self.environment = {
            "RAY_AUTH_TOKEN": secrets.token_hex(32), **os.environ, "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_task_oom_retries": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.environment.pop("RAY_ADDRESS", None)
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True,
            )  # fmt: skip
        # the agent takes no jobs where another cluster on this machine has its port
        started = self.order("head", **{"dashboard_agent_listen_port": free_port(), **head})
        self.address, self.url = started["address"], started["url"]
        self.environment["RAY_ADDRESS"] = self.address

    def order(self, *words, **options):
        """Give an order; returns what came of it."""
        self.process.stdin.write(json.dumps([*words, options]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise RuntimeError(f"the cluster's process ended: {self.process.wait()}")

    def add(self, cpus=2, **options):
        """Start a node; returns its name for :meth:`remove`."""
        return self.order("add", num_cpus=cpus, **options)

    def remove(self, name):
        """Kill all processes of a node; ``head`` is the head."""
        self.order("remove", name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait(60)


STORE = 80 * 2**20  # bytes, about the least that Ray takes
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}


def serve():
    from ray.cluster_utils import Cluster

    cluster, nodes = None, {}
    for line in sys.stdin:
        order, *words, options = json.loads(line)
        answer = None
        options = {"object_store_memory": STORE, **options}
        if order == "head":
            settings = {**QUICK, **options.pop("settings", {})}
            cluster = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": settings, **options})
            nodes["head"] = cluster.head_node
            answer = {"address": cluster.address, "url": f"http://{cluster.webui_url}"}
        elif order == "add":
            node = cluster.add_node(**options)
            nodes[node.unique_id] = node
            answer = node.unique_id
        elif order == "remove":
            cluster.remove_node(nodes.pop(words[0]), allow_graceful=False)
        print("answer", json.dumps(answer), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    serve()
