"""Who does the work of a run on GPUs."""

from __future__ import annotations

import pytest

from geofcs.crew import BLOCKS_PER_GPU, Crew, Need, gpu_crew
from geofcs.errors import InputError

NEED = Need(threads=1, bytes_per_block=1, tile=512)


def on_processes(*gpus: str) -> Crew:
    return Crew("processes", len(gpus), BLOCKS_PER_GPU, 1, gpus)


@pytest.mark.parametrize(
    ("gpus", "wanted", "kind", "crew"),
    [
        (("0",), None, "auto", Crew("threads", 1, BLOCKS_PER_GPU, 1)),
        (("0",), None, "processes", on_processes("0")),
        (("0",), 2, "auto", on_processes("0", "0")),
        (("1",), None, "auto", on_processes("1")),  # this process would compute on another one
        (("0", "1"), None, "auto", on_processes("0", "1")),
        (("0", "1"), 3, "auto", on_processes("0", "1", "0")),
    ],
)
def test_each_gpu_that_is_asked_for_has_a_process_or_is_the_one_of_this_process(
    gpus: tuple[str, ...], wanted: int | None, kind: str, crew: Crew
) -> None:
    assert gpu_crew(gpus, "0", wanted, kind, NEED) == crew


@pytest.mark.parametrize(("gpus", "said"), [(("0", "1"), "2 workers on GPUs"), (("1",), "workers on GPU 1")])
def test_threads_are_refused_where_processes_must_do_the_work(gpus: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=f"--worker-kind threads: {said} are processes: leave it out"):
        gpu_crew(gpus, "0", None, "threads", NEED)
