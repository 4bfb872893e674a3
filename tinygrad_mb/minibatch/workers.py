"""The same sums over several processes, which MPI starts and connects."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import sys
from typing import Any

import numpy as np

from ..autodiff import data_of
from ..errors import ShapeError, describe
from ..pytrees import Nest
from ..tensor import Tensor
from .means import Totals, differences

_INSTALL = 'pip install "tinygrad_mb[mpi]"'


class Workers:
    """The processes that work on one batch: those that ``mpiexec`` has started, or this one alone.

    ``rank`` is this worker's number, from 0, and ``size`` how many there are.  A program takes its ``shard`` of each
    batch, adds it to ``Sums``, and exchanges these for their ``sum`` over all workers, which is the same on each.  A
    program that was not started by ``mpiexec`` runs alone, with a size of 1, and needs no MPI.

    Workers have to do the same things in the same order: whoever calls ``sum`` or ``broadcast`` waits for all others
    to call it too, also those whose shard is empty.  An exception that ends one worker ends them all, and so does
    waiting for one that has come to its end.  ``comm`` is a communicator of mpi4py for those who have made one, of some
    of the workers only; then it is theirs to end.

    Raises ``ImportError`` if ``mpiexec`` has started the program and mpi4py is missing, ``RuntimeError`` if mpi4py
    belongs to another MPI than ``mpiexec`` does.

    >>> import numpy as np, tinygrad_mb as tg
    >>> workers = tg.minibatch.Workers()
    >>> workers
    <worker 0 of 1>
    >>> mean = tg.minibatch.Mean()
    >>> mean.add(workers.shard(np.arange(5.0)))
    >>> workers.sum(mean)
    <Mean 2 of 5 examples>
    """

    def __init__(self, comm: Any = None) -> None:
        self._comm = _world() if comm is None else comm
        self.rank: int = self._comm.Get_rank() if self._comm else 0
        self.size: int = self._comm.Get_size() if self._comm else 1

    def shard(self, *arrays: Any) -> Any:
        """The part of the examples that is this worker's, along axis 0: a view of each array, or of the single one.

        The shards of all workers are all examples, each once and in order; their sizes differ by one at most, and are
        0 where there are fewer examples than workers.

        Raises ``ShapeError`` for arrays of different lengths or without axes.
        """
        if not arrays:
            raise TypeError("Workers.shard: there are no arrays to take a part of")
        if any(np.shape(data_of(a)) == () for a in arrays):
            raise ShapeError("Workers.shard: an array without axes has no examples")
        if len({len(a) for a in arrays}) > 1:
            what = ", ".join([describe(a, f"array {k}") for k, a in enumerate(arrays)])
            raise ShapeError(f"Workers.shard: the arrays have different numbers of examples along axis 0: {what}")
        m = len(arrays[0])
        mine = slice(m * self.rank // self.size, m * (self.rank + 1) // self.size)
        shards = tuple([a[mine] for a in arrays])
        return shards if len(shards) > 1 else shards[0]

    def sum(self, *totals: Totals) -> Any:
        """The sums of all workers: ``Sums``, ``Mean`` or several of them, which travel in one message.

        The numbers of all gradients, losses and counts are packed into one float64 array, which one Allreduce adds
        up.  What comes back has the same bits on each worker; with another number of workers the additions come in
        another order, and so differ in rounding.

        A small message before it compares what is summed.  Raises ``ValueError`` on all workers if they sum different
        things, or if the parameters of their ``Sums`` have different values.
        """
        for total in totals:
            if not isinstance(total, Totals):
                raise TypeError(f"Workers.sum wants Sums or Mean, not {describe(total)}")
        if not totals:
            raise TypeError("Workers.sum: there is nothing to sum")
        packed = np.concatenate([total._packed for total in totals])
        if self.size > 1:
            places = [f" of number {k}" if len(totals) > 1 else "" for k in range(len(totals))]
            signatures = zip(places, [total._signature for total in totals], strict=True)
            signature = {key + place: text for place, of_one in signatures for key, text in of_one.items()}
            self._agree("sum", signature, b"".join([total._place() for total in totals]))
            from mpi4py import MPI

            self._comm.Allreduce(MPI.IN_PLACE, packed)
        stops = np.cumsum([len(total._packed) for total in totals])
        summed = [t._with(part) for t, part in zip(totals, np.split(packed, stops[:-1]), strict=True)]
        return tuple(summed) if len(summed) > 1 else summed[0]

    def broadcast(self, params: Any) -> None:
        """Give all workers the parameters of worker 0, written into their arrays in place.

        ``params`` is a Module, of which all tensors are sent, also those that are no parameters, or a nest of Tensors
        or of arrays.

        Raises ``TypeError`` for what cannot be written to, ``ValueError`` on all workers if their parameters differ in
        structure, shape or dtype.
        """
        if hasattr(params, "load_state_dict"):  # a module's parameters are a nest, and it may have other tensors
            state = params.state_dict()
            self.broadcast(state)
            params.load_state_dict(state)
            return
        nest = Nest(params)
        arrays = [leaf.data if isinstance(leaf, Tensor) else leaf for leaf in nest.leaves]
        for path, array in zip(nest.paths, arrays, strict=True):
            if not isinstance(array, np.ndarray) or not array.flags.writeable:
                raise TypeError(f"Workers.broadcast: parameter {path!r}, {describe(array)}, cannot be written to")
        if self.size > 1:
            order = sorted(range(len(arrays)), key=nest.paths.__getitem__)
            signature = {f"parameter {nest.paths[k]!r}": f"{arrays[k].shape} {arrays[k].dtype}" for k in order}
            self._agree("broadcast", signature)
            sent = self._comm.bcast([arrays[k] for k in order] if self.rank == 0 else None)
            for k, array in zip(order, sent, strict=True):
                arrays[k][...] = array

    def _agree(self, operation: str, signature: dict[str, str], state: bytes = b"") -> None:
        """Raise ``ValueError`` on all workers if they do not mean the same thing."""
        signature = {"call": operation, **signature}
        words = repr(sorted(signature.items())).encode()
        heads = self._comm.allgather([hashlib.blake2b(part, digest_size=16).digest() for part in (words, state)])
        gone = [k for k, head in enumerate(heads) if head is None]
        if gone:
            raise RuntimeError(
                f"Workers.{operation}: {_named(gone)} came to the end of the program without it. All workers must call "
                f"{operation}() equally often, also with empty shards."
            )
        if any(head[0] != heads[0][0] for head in heads):
            all_signatures = self._comm.allgather(signature)
            k = next(k for k, other in enumerate(all_signatures) if other != all_signatures[0])
            problem = differences(all_signatures[0], all_signatures[k])
            raise ValueError(
                f"Workers.{operation}: workers 0 and {k} do not {operation} the same, but different {problem}"
            )
        others = [k for k, head in enumerate(heads) if head[1] != heads[0][1]]
        if others:
            raise ValueError(
                f"Workers.{operation}: the parameters have other values on {_named(others)} than on worker 0, and "
                "gradients at different points do not add up. Start with workers.broadcast(params), and let every "
                "worker take the same steps."
            )

    def __repr__(self) -> str:
        return f"<worker {self.rank} of {self.size}>"


def _named(ranks: list[int]) -> str:
    return f"worker{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def _world() -> Any:
    """The communicator of all processes that ``mpiexec`` has started with this one; None if it has not started it."""
    variables = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK")  # of MPICH and its descendants, of Open MPI, of PMIx
    if not any(name in os.environ for name in variables):
        return None
    started = int(os.environ.get("PMI_SIZE") or os.environ.get("OMPI_COMM_WORLD_SIZE") or 0)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError where there is no MPI library to load
        raise ImportError(
            f"Workers: mpiexec has started this program, and mpi4py cannot be imported ({error}). Each process "
            f"would work alone: {_INSTALL}"
        ) from error
    if MPI.COMM_WORLD.Get_size() < started:
        raise RuntimeError(
            f"Workers: mpiexec has started {started} processes, and mpi4py sees {MPI.COMM_WORLD.Get_size()}: "
            f"it uses another MPI than this mpiexec does ({MPI.Get_library_version().splitlines()[0]}). Use the "
            f"mpiexec that is installed beside it: {_INSTALL}"
        )
    return _connect() if MPI.COMM_WORLD.Get_size() > 1 else None


@functools.cache
def _connect() -> Any:
    """A communicator of all processes for our messages alone; from here on, none waits for one that has ended.

    An exception that ends this process ends all.  A process that ends without one says so, in the place of what it
    would say before the next sum, and those who wait for it raise.
    """
    from mpi4py import MPI

    comm = MPI.COMM_WORLD.Dup()
    show = sys.excepthook

    def show_and_abort(*error: Any) -> None:
        show(*error)
        sys.stdout.flush()
        sys.stderr.flush()
        comm.Abort(1)

    sys.excepthook = show_and_abort
    atexit.register(comm.allgather, None)
    return comm
