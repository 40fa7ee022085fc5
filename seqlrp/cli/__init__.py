"""The command line: thin calls of the functions that Python users call.

Results go to stdout or into files, messages to stderr. What the user got wrong ends with status 2
and a sentence that says what to do. Each module of `commands` holds one command.
"""

from seqlrp.cli.application import app, main
from seqlrp.cli.commands.analyse import analyse
from seqlrp.cli.commands.benchmark import benchmark
from seqlrp.cli.commands.check import check
from seqlrp.cli.commands.choose import choose
from seqlrp.cli.commands.compare import compare
from seqlrp.cli.commands.demo import demo
from seqlrp.cli.commands.doctor import doctor
from seqlrp.cli.commands.evaluate import evaluate
from seqlrp.cli.commands.explain import explain
from seqlrp.cli.commands.methods import methods
from seqlrp.cli.commands.prune import prune
from seqlrp.cli.commands.render import render
from seqlrp.cli.commands.repair import repair
from seqlrp.cli.commands.serve import serve
from seqlrp.cli.commands.train import train

# As the help lists them.
COMMANDS = (
    *(demo, train, explain, check, render, evaluate, choose, analyse, compare),
    *(repair, prune, serve, methods, benchmark, doctor),
)
for command in COMMANDS:
    app.command()(command)

__all__ = ["app", "main"]
