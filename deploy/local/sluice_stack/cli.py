"""The command line."""
import argparse
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import components, environment, files, processes
from .components import rabbitmq
from .control import Control, StackError
from .layout import Layout, State, directory_of
from .progress import Progress

DIR_VARIABLE = "SLUICE_STACK_DIR"
UP_SECONDS = 150.0
DOWN_SECONDS = 90.0
CRASHES_SHOWN = 3  # after so many in a row, `up` gives up waiting

CLIENTS = ("mysql", "redis-cli", "rabbitmqctl")

_DESCRIPTION = """\
Private MariaDB, Redis and RabbitMQ servers on free loopback ports, and sluice's services on top, all
supervised: what dies is started again. No system service is touched."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stack", description=_DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument("--name", default=argparse.SUPPRESS,
                       help="which stack (default: the one of $SLUICE_STACK_DIR, or else `default`)")
    which.add_argument("--dir", type=Path, default=argparse.SUPPRESS, help="keep the stack in this folder instead")
    parser.add_argument("--name", help=argparse.SUPPRESS)
    parser.add_argument("--dir", type=Path, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", parents=[which], help="start what isn't running and wait until it serves")
    up.add_argument("--only", metavar="NAMES", help="these alone, separated by commas, beside what runs already")
    up.add_argument("--engine", help="native (default) or echo; remembered")
    up.add_argument("--model", type=Path, metavar="FILE", help="the GGUF file to serve; remembered")
    up.add_argument("--build", type=Path, metavar="DIR", help="where the binaries are (default build/release); remembered")
    up.add_argument("--workers", type=int, metavar="N", help="how many workers (default 1); remembered")
    up.add_argument("--producers", type=int, metavar="N", help="how many producers (default 1); remembered")
    up.add_argument("--set", action="append", default=[], metavar="[SERVICE:]NAME=VALUE", dest="settings",
                    help="a setting for one or all services, by the name that it has in the environment "
                         "(producer:SLUICE_ANSWER_KEEP=3s); remembered, an empty value forgets it")
    up.add_argument("--timeout", type=float, default=UP_SECONDS, metavar="SECONDS", help="longest wait")
    down = commands.add_parser("down", parents=[which], help="end every process; the data stays")
    down.add_argument("--purge", action="store_true", help="delete data, logs and secrets too")
    for command, text in (("start", "start what was stopped by name"), ("stop", "stop one; it stays stopped"),
                          ("restart", "end one and start it again"),
                          ("wipe", "stop a server, delete its data, start it again")):
        named = commands.add_parser(command, parents=[which], help=text)
        named.add_argument("component", metavar="NAME")
    status = commands.add_parser("status", parents=[which], help="what runs, where, and where its log is")
    status.add_argument("--json", action="store_true", help="as a JSON list of {name, pid, port, state, log}")
    commands.add_parser("env", parents=[which], help="the settings of a running stack, for a shell to evaluate")
    for command in CLIENTS:
        commands.add_parser(command, parents=[which], add_help=False,
                            help="the server's own client, logged in as its administrator")
    commands.add_parser("supervise", parents=[which])
    return parser


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Everything behind `mysql`, `redis-cli` or `rabbitmqctl` belongs to that program, --name and
    --dir at its beginning apart."""
    at = next((n for n, argument in enumerate(arguments) if argument in CLIENTS), None)
    if at is None or any(argument in ("start", "stop", "restart", "wipe") for argument in arguments[:at]):
        return _parser().parse_args(arguments)
    end = at + 1
    while end < len(arguments) and arguments[end].split("=")[0] in ("--name", "--dir"):
        end += 1 if "=" in arguments[end] else 2
    options = _parser().parse_args(arguments[:end])
    options.arguments = arguments[end:]
    return options


def _layout(options: argparse.Namespace) -> Layout:
    if options.dir is not None:
        return Layout(options.dir.absolute())
    if options.name is None and os.environ.get(DIR_VARIABLE):
        return Layout(Path(os.environ[DIR_VARIABLE]))
    name = options.name or "default"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise StackError(f"`{name}` is no name for a stack: letters, digits, `.`, `_` and `-`, please")
    return Layout(directory_of(name))


def _up(control: Control, options: argparse.Namespace) -> int:
    with control.lock():
        State(control.layout).save()
        context = control.context()
        desired = control.desired()
        remembered = context.state.options | _given_options(options, context.state.options)
        listed = components.names(remembered)
        names = listed if options.only is None else [name for name in options.only.split(",") if name]
        for name in names:
            if name not in listed:
                raise StackError(f"there is no `{name}`; there are {', '.join(listed)}")
        context.state.options = remembered
        context.state.save()
        desired["options"] = remembered
        wanted = {name: yes for name, yes in desired["components"].items() if name in listed}
        for name in names:
            wanted.setdefault(name, True)
        desired["components"] = wanted
        for name in names:
            if not wanted[name]:
                print(f"  {name} was stopped by name and stays so until `start {name}`")
        revision = control.want(desired)
        return _await_running(control, revision, [name for name in names if wanted[name]], options.timeout)


def _given_options(options: argparse.Namespace, remembered: dict) -> dict:
    given: dict = {}
    if options.engine is not None:
        given["engine"] = options.engine
    if options.model is not None:
        given["model"] = str(options.model.absolute())
    if options.build is not None:
        given["build"] = str(options.build.absolute())
    for name in ("workers", "producers"):
        count = getattr(options, name)
        if count is not None:
            if not 1 <= count <= 64:
                raise StackError(f"--{name} wants a number from 1 to 64")
            given[name] = count
    if options.settings:
        settings = dict(remembered.get("settings", {}))
        for assignment in options.settings:
            name, equals, value = assignment.partition("=")
            if not equals or not re.fullmatch(r"([a-z]+(-\d+)?:)?[A-Z_][A-Z0-9_]*", name):
                raise StackError(f"--set wants [SERVICE:]NAME=VALUE, not `{assignment}`; NAME as in the environment: "
                                 "the setting answer-keep is SLUICE_ANSWER_KEEP")
            service = name.rpartition(":")[0]
            if service and not components.is_service(service):
                raise StackError(f"there is no service `{service}`; there are {', '.join(components.SERVICES)}")
            settings[name] = value
        assigned = [assignment.partition("=") for assignment in options.settings]
        _warn_of_unknown([name for name, _, value in assigned if value], remembered | given)
        given["settings"] = {name: value for name, value in settings.items() if value}
    return given


def _warn_of_unknown(names: list[str], options: dict) -> None:
    """Of settings that no service they are for lists. What can't be asked, as it isn't built yet, is passed over."""
    listed = functools.cache(lambda program: components.settings_text(program, options))
    for name in names:
        service, _, variable = name.rpartition(":")
        if not variable.startswith("SLUICE_") or variable in ("SLUICE_FAILPOINT", "SLUICE_DEFECT"):
            continue
        flag = "--" + variable.removeprefix("SLUICE_").lower().replace("_", "-").removesuffix("-file")
        texts = map(listed, [service.partition("-")[0]] if service else components.SERVICES)
        if any(text is None or re.search(rf"^ +{flag}(-file)?[ \n]", text, re.MULTILINE) for text in texts):
            continue
        print(f"stack: no setting of {service or 'any service'} is called {variable} (sluice-SERVICE --help lists them)",
              file=sys.stderr)


def _await_running(control: Control, revision: int, names: list[str], seconds: float) -> int:
    progress = Progress(names)
    deadline = time.monotonic() + seconds
    while True:
        status = control.status()
        rows = status.get("components", {}) if status.get("revision", -1) >= revision else {}
        progress.show(rows)
        if all(rows.get(name, {}).get("state") == "running" for name in names):
            return 0
        failed = [name for name in names if rows.get(name, {}).get("crashes", 0) >= CRASHES_SHOWN]
        if control.supervisor() is None:
            raise StackError("the supervisor ended; its log says:\n" + files.tail(control.layout.log("supervisor"), 15))
        if failed or time.monotonic() > deadline:
            failed = failed or [name for name in names if rows.get(name, {}).get("state") != "running"]
            _explain(control, status, rows, failed, seconds)
            return 1
        time.sleep(0.03)


def _explain(control: Control, status: dict, rows: dict, failed: list[str], seconds: float) -> None:
    if status.get("setup_error"):
        log = control.layout.log(components.Setup.NAME)
        print(f"\nPreparing the database failed: {status['setup_error']}. {log} ends with:\n{files.tail(log, 20)}",
              file=sys.stderr)
        return
    for name in failed:
        row = rows.get(name, {})
        reason = row.get("detail") or f"not ready after {seconds:g} s"
        log = control.layout.log(name)
        print(f"\n{name} does not serve: {reason}. {log} ends with:\n{files.tail(log, 20)}", file=sys.stderr)
    print("\nWhat did start is left running; `stack down` ends it.", file=sys.stderr)


def _down(control: Control, options: argparse.Namespace) -> int:
    if control.layout.root.exists():
        with control.lock():
            print("ending every process …" if control.supervisor() else "looking for what is left …", flush=True)
            print("all ended" if control.down(DOWN_SECONDS) else "nothing was running")
            if options.purge:
                control.layout.purge()
                print(f"deleted the data in {control.layout.root}")
    else:
        print("nothing was running")
    return 0


def _one(control: Control, options: argparse.Namespace) -> int:
    """start, stop, restart and wipe."""
    name, command = options.component, options.command
    with control.lock():
        if control.supervisor() is None:
            raise StackError("the stack isn't up")
        desired = control.desired()
        known = components.names(desired["options"])
        if name not in known:
            raise StackError(f"there is no `{name}`; there are {', '.join(known)}")
        component = components.make(name, control.context())
        if command == "wipe" and component.data() is None:
            raise StackError(f"{name} keeps no data")
        if command in ("stop", "wipe"):
            desired["components"][name] = False
            revision = control.want(desired)
            if not control.wait_for_state(revision, [name], ("stopped",), component.stop_seconds + 10):
                raise StackError(f"{name} did not stop; see {control.layout.log('supervisor')}")
            print(f"{name} is stopped")
        if command == "wipe":
            shutil.rmtree(component.data())
        if command in ("start", "restart", "wipe"):
            desired["components"][name] = True
            revision = control.want(desired, restart=(name,) if command == "restart" else ())
            return _await_running(control, revision, [name], UP_SECONDS)
    return 0


def _status(control: Control, options: argparse.Namespace) -> int:
    rows = control.rows()
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    supervisor = control.supervisor()
    print(f"{control.layout.root}: " + (f"supervised by pid {supervisor.pid}" if supervisor else "no supervisor runs"))
    for row in rows:
        print(f"  {row['name']:<10} {row['state']:<12} pid {row['pid'] or '-':<8} port {row['port'] or '-':<6} {row['log']}")
    return 0


def _env(control: Control) -> int:
    if control.supervisor() is None:
        print("stack: nothing runs", file=sys.stderr)
        return 1
    values = environment.settings(control.context()) | {DIR_VARIABLE: str(control.layout.root)}
    sys.stdout.write(environment.assignments(values))
    return 0


def _client(control: Control, options: argparse.Namespace) -> int:
    context = control.context()
    arguments = options.arguments
    extra: dict[str, str] = {}
    if options.command == "mysql":
        client_file = components.make("mysql", context).client_file
        # A database among the arguments wins over this one.
        argv = ["mariadb", f"--defaults-file={client_file}", f"--database={environment.MYSQL_DATABASE}", *arguments]
    elif options.command == "redis-cli":
        argv = ["redis-cli", "-p", str(context.state.ports.get("redis")), *arguments]
        extra["REDISCLI_AUTH"] = context.credentials["redis_password"]
    else:
        command = rabbitmq.ctl(context)
        argv, extra = [*command.argv, *arguments], command.environment
    return subprocess.run(argv, env={**processes.clean_environment(), **extra}, check=False).returncode


def _run(options: argparse.Namespace) -> int:
    layout = _layout(options)
    control = Control(layout)
    if options.command in ("up", "supervise"):
        layout.create()
    elif options.command != "down" and not layout.state_file.exists():
        if options.command == "status" and options.json:
            print(json.dumps(control.rows(), indent=1))
            return 0
        raise StackError(f"there is no stack in {layout.root}; `stack up` makes one")
    if options.command == "supervise":
        from .supervisor import supervise
        return supervise(layout)
    if options.command == "status":
        return _status(control, options)
    if options.command == "env":
        return _env(control)
    if options.command in CLIENTS:
        return _client(control, options)
    return {"up": _up, "down": _down}.get(options.command, _one)(control, options)


def main(arguments: list[str]) -> int:
    try:
        return _run(_parse(arguments))
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"stack: {error.filename} belongs to somebody else: run this as its owner", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("\nstack: interrupted; what was started goes on (`stack down` ends it)", file=sys.stderr)
        return 130
