"""A process that has loaded torch and the like, and forks for each job of a tiny study.

Loading them takes most of a tiny job's time. A job starts with them, but without wsss, so that it
reads the code of its folder as a process of its own would. Jobs of users and of the other tests
start as usual.

`python warm.py SOCKET` is the server; `python warm.py SOCKET -m wsss …` hands this command to it,
with its working directory, environment and files, and ends as the command does.
"""

import json
import os
import runpy
import signal
import socket
import sys

STREAMS = (0, 1, 2)


def serve(path: str) -> None:
    """Fork for each command until standard input ends."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HDF5_USE_FILE_LOCKING": "BEST_EFFORT"}
    import h5py  # noqa: F401
    import lightning  # noqa: F401
    import pandas  # noqa: F401
    import segmentation_models_pytorch  # noqa: F401
    import timm
    import torch
    import torchmetrics  # noqa: F401
    import torchvision.transforms.v2  # noqa: F401
    import typer  # noqa: F401

    assert timm and "wsss" not in sys.modules
    torch.set_num_threads(1)
    # An optimizer's first step imports this.
    import torch._dynamo

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    print("ready", flush=True)  # noqa: T201
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            answer(connection)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Run the command that comes over a connection, and send its status."""
    text, files, _, _ = socket.recv_fds(connection, 1 << 20, len(STREAMS))
    while not text.endswith(b"\n"):
        text += connection.recv(1 << 20)
    request = json.loads(text)
    job = os.fork()
    if job == 0:
        connection.close()
        for stream, file in zip(STREAMS, files, strict=True):
            os.dup2(file, stream)
            os.close(file)
        run(request)
    _, status = os.waitpid(job, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def run(request: dict) -> None:
    """Become `python -m wsss` with these arguments, and end as it ends."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    paths = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [request["folder"], *filter(None, paths)]
    sys.argv = ["wsss", *request["arguments"]]
    sys.orig_argv = [sys.executable, "-m", "wsss", *request["arguments"]]
    status = 1
    try:
        runpy.run_module("wsss", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def hand_over(path: str, arguments: list[str]) -> int:
    """Have the server run a command; its status."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
    text = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(connection, [text], STREAMS)
    connection.sendall(text[sent:])
    status = int(connection.makefile().readline() or 1)
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    socket_path, *words = sys.argv[1:]
    if words[:2] == ["-m", "wsss"]:
        sys.exit(hand_over(socket_path, words[2:]))
    serve(socket_path)
