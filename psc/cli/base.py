"""What every command has in common: home, JSON, language, and the boundary that turns errors into exit codes.

A command is a function whose first argument is ``Cli``; ``command`` registers it and adds ``--home``, ``--json`` and
``--verbose`` to its options, so that they may stand before or after the command's name. The boundary is the one place where
an exception becomes a line on stderr and an exit code; no traceback leaves it unless ``PSC_DEBUG=1`` asks for one.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import io
import json
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperGroup

from psc.cli.show import console, json_text, label, print_json
from psc.errors import ExitCode, PscError
from psc.texts import fill, language, lookup

if TYPE_CHECKING:
    from rich.console import RenderableType

    from psc.node.home import Home
    from psc.sdk.node import Node

__all__ = ["Boundary", "Cli", "command", "group", "help_if_alone", "loaded", "say", "sentence_and_remedy"]

P = ParamSpec("P")


def say(en: str, zh: str) -> str:
    """Return a help text in the language that holds when the program starts."""
    return zh if language() == "zh" else en


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help=say("The node's home folder [PSC_HOME; default ./]", "节点主目录 [PSC_HOME；默认 ./]")
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help=say("One JSON document on stdout, nothing else", "在标准输出中只打印一个 JSON 文档"))
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help=say("Say more on stderr", "在标准错误中输出更多信息"))]

_COMMON = {"home": (HomeOption, None), "as_json": (JsonOption, False), "verbose": (VerboseOption, False)}


@dataclass(frozen=True, slots=True)
class Cli:
    """How a command was called.

    Attributes:
        path: the home folder asked for; it need not exist yet.
        as_json: the answer is one JSON document on stdout.
        verbose: say more on stderr.
    """

    path: Path
    as_json: bool
    verbose: bool

    @contextlib.contextmanager
    def home(self) -> Iterator[Home]:
        """Open the node's home and speak its language."""
        from psc.node.home import Home

        loaded()
        with Home.open(self.path) as home:
            _adopt(home.settings.language)
            yield home

    @contextlib.contextmanager
    def node(self) -> Iterator[Node]:
        """Open the node for runs and serving, and speak its language; call ``loaded`` when what it needs is loaded."""
        from psc.sdk.node import Node

        with Node.open(self.path) as node:
            _adopt(node.home.settings.language)
            yield node

    def answer(self, document: object, *shown: RenderableType) -> None:
        """Print a command's answer: the document for machines, or what is shown to people."""
        if self.as_json:
            print_json(document)
            return
        out = console()
        for part in shown:
            out.print(part)

    def note(self, text: str) -> None:
        """Tell the user something on stderr that is no part of the answer; silent with ``--json``."""
        if not self.as_json:
            console(sys.stderr).print(text, style="dim")

    def detail(self, *parts: RenderableType) -> None:
        """Tell something on stderr with ``--verbose``."""
        if self.verbose:
            err = console(sys.stderr)
            for part in parts:
                err.print(part, style="dim")


def loaded() -> None:
    """Collect garbage from now on, but not among what was made by loading modules: it stays to the end."""
    gc.freeze()
    gc.enable()


def _adopt(language_setting: str) -> None:
    if language_setting and not os.environ.get("PSC_LANG"):
        os.environ["PSC_LANG"] = language_setting


def command(
    app: typer.Typer, name: str, summary: str, **settings: Any
) -> Callable[[Callable[Concatenate[Cli, P], None]], Callable[Concatenate[Cli, P], None]]:
    """Register a command and add the options that all commands have.

    Args:
        app: the group it belongs to.
        name: what the user types.
        summary: its help.
        **settings: further arguments of ``Typer.command``.
    """

    def register(function: Callable[Concatenate[Cli, P], None]) -> Callable[Concatenate[Cli, P], None]:
        # Typer reads a command's options from its signature, so the signature is what is extended.
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        common = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in _COMMON.items()
        ]
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]

        @functools.wraps(function)
        def run(ctx: typer.Context, **values: Any) -> None:
            before: dict[str, Any] = ctx.find_root().params
            common_values = {key: values.pop(key) or before.get(key) for key in _COMMON}
            path = common_values["home"] or os.environ.get("PSC_HOME") or "."
            cli = Cli(Path(path), bool(common_values["as_json"]), bool(common_values["verbose"]))
            try:
                function(cli, **values)  # type: ignore[call-arg]  # typer gives what the signature names
                sys.stdout.flush()
            except BrokenPipeError:
                if not _reader_gone():
                    raise
                # `psc runs list | head`: there is nobody left to tell, and nothing went wrong.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

        parameters = [context, *keyword_only, *common]
        del run.__wrapped__  # it would bring the original signature back
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, help=summary, **settings)(run)
        return function

    return register


def _reader_gone() -> bool:
    """Say whether whoever read our stdout went away; another pipe that broke is another matter."""
    try:
        looked = select.poll()
        looked.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in looked.poll(0))
    except (OSError, ValueError):
        return False


def group(app: typer.Typer, name: str, summary: str) -> typer.Typer:
    """Register a group of commands under ``app`` and return it; called alone it prints its help."""
    sub = typer.Typer(help=summary, callback=help_if_alone, invoke_without_command=True)
    app.add_typer(sub, name=name)
    return sub


def help_if_alone(ctx: typer.Context) -> None:
    """Print the help of a group that was called without a command."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(ExitCode.USAGE)


class Boundary(TyperGroup):
    """The root of the command line: everything raised below becomes one message and one exit code."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> Any:
        """Run the command line and exit with its code; never returns."""
        arguments = list(sys.argv[1:] if args is None else args)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal in GBK has no check mark; that is no reason to fail
        sys.exit(self._guarded(arguments))

    def _guarded(self, arguments: list[str]) -> int:
        as_json = "--json" in arguments
        try:
            code = super().main(args=arguments, prog_name="psc", standalone_mode=False)
        except PscError as error:
            return _fail(error.code, error.fields, error.exit_code, as_json=as_json)
        except typer.TyperException as error:
            return _usage(error, as_json=as_json)
        except (typer.Abort, KeyboardInterrupt):
            return _fail("cli.interrupted", {}, ExitCode.CANCELLED, as_json=as_json)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a bug is told in one line
            return _bug(error, as_json=as_json)
        if code == ExitCode.CANCELLED:  # Typer turns Ctrl-C into this
            return _fail("cli.interrupted", {}, ExitCode.CANCELLED, as_json=as_json)
        return code if isinstance(code, int) else ExitCode.OK


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "psc"
    problem = " ".join(error.format_message().split())  # choices come a line each
    problem = problem.replace("Value error, ", "").rstrip(".")
    if not problem.endswith(("?", "!")):
        problem += "."
    return _fail("cli.usage", {"problem": problem, "command": f"{path} --help"}, ExitCode.USAGE, as_json=as_json)


def _bug(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("PSC_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "?" if place is None else f"{place.tb_frame.f_globals.get('__name__', '?')}:{place.tb_lineno}"
    # Only the kind and the place: the text of a foreign exception may hold a cell of the table.
    return _fail("cli.bug", {"kind": type(error).__name__, "where": where}, ExitCode.BUG, as_json=as_json)


def _fail(code: str, fields: dict[str, Any], exit_code: int, *, as_json: bool) -> int:
    """Tell an error and return its exit code; whatever breaks on the way, the code and the fields are told."""
    try:
        if as_json:
            said = {"code": code, "exit_code": int(exit_code), "message": _message(code, fields), "fields": _plain(fields)}
            sys.stderr.write(json_text({"error": said}) + "\n")
        else:
            _print_error(code, fields)
    except Exception:  # noqa: BLE001 - the last line of defence: telling an error must not raise another
        _tell_bare(code, fields, exit_code, as_json=as_json)
    return exit_code


def _tell_bare(code: str, fields: dict[str, Any], exit_code: int, *, as_json: bool) -> None:
    """Tell an error with nothing but the standard library: no catalogue of texts, no Rich."""
    known = {str(key): str(value) for key, value in fields.items()}
    said: dict[str, object] = {"code": code, "exit_code": int(exit_code), "message": code, "fields": known}
    line = json.dumps({"error": said}) if as_json else f"Error: [{code}] {json.dumps(known)}"
    with contextlib.suppress(OSError, ValueError):  # stderr itself is gone
        sys.stderr.write(line + "\n")


def sentence_and_remedy(code: str, fields: dict[str, Any]) -> tuple[str, str]:
    """Return a text's sentence and its remedy, each in the reader's language."""
    text = lookup(code)
    chinese = language() == "zh"
    said, remedy = (text.zh, text.fix_zh) if chinese else (text.en, text.fix_en)
    return fill(said, fields), fill(remedy, fields)


def _said(code: str, fields: dict[str, Any]) -> tuple[str, str, str]:
    """Return an error's sentence, its remedy, and the run that it ended when the sentence does not name it."""
    try:
        said, remedy = sentence_and_remedy(code, fields)
    except Exception:  # noqa: BLE001 - a text that is missing or broken must not hide the error that has it
        told = {key: value for key, value in _plain_fields(fields).items() if key != "run_id"}
        said, remedy = f"{code} {json_text(told)}" if told else code, ""
    run = str(fields.get("run_id") or "")
    if not run or run in said or run in remedy:
        return said, remedy, ""
    return said, remedy, label("of-run", run=run)


def _message(code: str, fields: dict[str, Any]) -> str:
    said, remedy, _ = _said(code, fields)  # the run is among the fields
    return f"{said} {remedy}".strip()


def _plain_fields(fields: dict[str, Any]) -> dict[str, object]:
    return {str(key): _plain(value) for key, value in fields.items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _print_error(code: str, fields: dict[str, Any]) -> None:
    from rich.text import Text

    from psc.cli.show import wraps

    said, remedy, run = _said(code, fields)
    word = label("error")
    first, _, rest = said.partition("\n")  # a table of bad cells follows its first line
    head = Text.assemble((word, "bold red"), "" if word.endswith("：") else " ", first, (f"  [{code}]", "dim"))
    err = console(sys.stderr)
    err.print(head)
    if rest:
        err.print(Text(rest), soft_wrap=True)
    if remedy.strip():
        err.print(wraps(remedy.strip(), 2))
    if run:
        err.print(wraps(run, 2))
