"""The package's commands as ``python -m`` runs them, without its start each time.

Importing the package takes seconds. One process imports it, and every command is run
in a fork of that process, which has its own flags, output and end.
"""

import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]


class CommandLine:
    """Calls like ``command("main", "--config=...")`` run ``python -m sparse_gf.main``.

    What it returns is what ``subprocess.run`` returns, output as text.
    """

    def __init__(self):
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, module, *arguments, code=""):
        """Runs a command, after lines of Python that are executed before it."""
        with tempfile.TemporaryDirectory() as folder:
            asked = [folder, f"sparse_gf.{module}", *map(str, arguments)]
            print(json.dumps([code, *asked]), file=self._server.stdin, flush=True)
            status = int(self._server.stdout.readline())
            output, errors = (
                pathlib.Path(folder, name).read_text() for name in ("output", "errors")
            )
        return subprocess.CompletedProcess(asked, status, output, errors)

    def close(self):
        """Ends the process."""
        self._server.stdin.close()
        self._server.wait()


def serve():
    """Forks for each line of standard input, and answers with the exit status."""
    from sparse_gf import report  # noqa: F401
    from sparse_gf.terminal import cli, console  # noqa: F401

    for line in sys.stdin:
        code, folder, module, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            in_fork(folder, code, module, arguments)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def in_fork(folder, code, module, arguments):
    """Becomes the command, and ends as it does."""
    for name, number in (("output", 1), ("errors", 2)):
        os.dup2(os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 0
    try:
        sys.argv = [module, *arguments]
        exec(code, {})
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    serve()
