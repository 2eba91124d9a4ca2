"""Ranks on this machine, started once and used by many tests."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch.multiprocessing.queue import SimpleQueue

from boundmesh.mesh.runtime.group import Group


class Ranks:
    """`size` processes joined by gloo, or by NCCL with a GPU each where `device` is cuda; each runs
    what it is sent, with its group in front."""

    def __init__(self, size: int, folder: Path, device: str = "cpu") -> None:
        self.size = size
        context = multiprocessing.get_context("spawn")
        self._asked = [context.SimpleQueue() for _ in range(size)]
        self._said = [context.SimpleQueue() for _ in range(size)]
        self._processes = [
            context.Process(
                target=_make_node_weights,
                args=(rank, size, device, f"file://{folder}/rendezvous", self._asked[rank], said),
                daemon=True,
            )
            for rank, said in enumerate(self._said)
        ]
        for process in self._processes:
            process.start()

    def run(self, function: Callable[..., Any], *arguments: object) -> list[Any]:
        """What `function(group, *arguments)` returns on every rank."""
        for queue in self._asked:
            queue.put((function, arguments))
        answers = [queue.get() for queue in self._said]
        failed = [said for worked, said in answers if not worked]
        assert not failed, "\n".join(failed)
        return [said for _, said in answers]

    def close(self) -> None:
        for queue in self._asked:
            queue.put(None)
        for process in self._processes:
            process.join(10)
            process.kill()


def _make_node_weights(
    rank: int, size: int, device: str, method: str, asked: SimpleQueue, said: SimpleQueue
) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if device == "cuda":
        torch.cuda.set_device(rank)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=method, rank=rank, world_size=size)
    handle = dist.group.WORLD
    assert handle is not None
    while (job := asked.get()) is not None:
        function, arguments = job
        try:
            said.put((True, function(Group(handle), *arguments)))
        except BaseException:
            said.put((False, f"rank {rank}: {traceback.format_exc()}"))
        if device == "cuda":
            # What another rank may still read is not written to again before all have done.
            torch.cuda.synchronize()
            Group(handle).all_gather_object(None)
    dist.destroy_process_group()
