"""Completion for fish 3 and later."""

from collections.abc import Iterator, Sequence

from .tree import Command, Option, Values

_SCRIPT = r"""# @NOTE@

function __chatapp_tail_cached # licences|messengers|channels: of the account's lines seen last
    set -l cache $HOME/.cache
    test -n "$XDG_CACHE_HOME"; and set cache $XDG_CACHE_HOME
    set -l file "$cache/chatapp-tail/lines"
    test -f "$file" -a -r "$file"; or return 0
    # The tab begins a description, and an empty one keeps fish from repeating the option's.
    set -l shown '$1'\t
    switch $argv[1]
        case messengers
            set shown '$2'\t
        case channels
            set shown '$1/$2'\t
    end
    # Whoever wrote it, only what looks like a line is taken from it.
    string replace -r -f '^([0-9]{1,20}) ([A-Za-z][A-Za-z0-9_]{0,63})$' $shown <"$file"
end

function __chatapp_tail_first # whether the word after the program's name is being typed
    test (count (commandline -opc)) -eq 1
end

function __chatapp_tail_in # COMMAND
    set -l words (commandline -opc)
    test "$words[2]" = "$argv[1]"
end

function __chatapp_tail_itself # whether no other command is named
    set -l words (commandline -opc)
    not contains -- "$words[2]" @NAMES@
end

complete -c chatapp-tail -f
@COMPLETIONS@
"""


def script(commands: Sequence[Command], note: str) -> str:
    """Return the script; `note` says in one line where it comes from."""
    others = [command.name for command in commands if command.name]
    lines = [*_commands(commands), *(line for command in commands for line in _command(command))]
    return (
        _SCRIPT.replace("@NOTE@", note)
        .replace("@NAMES@", " ".join(others))
        .replace("@COMPLETIONS@", "\n".join(lines))
    )


def _commands(commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        if command.name:
            described = f"-a {command.name} -d {_quote(command.summary)}"
            yield _complete("__chatapp_tail_first", described)


def _command(command: Command) -> Iterator[str]:
    yield ""
    condition = f"__chatapp_tail_in {command.name}" if command.name else "__chatapp_tail_itself"
    if command.argument:
        yield _complete(condition, _values(command.argument))
    for option in command.options:
        yield _complete(condition, _option(option))


def _complete(condition: str, rest: str) -> str:
    return f"complete -c chatapp-tail -n {_quote(condition)} {rest}"


def _option(option: Option) -> str:
    names = [f"-s {name[1:]}" for name in option.short] + [f"-l {name[2:]}" for name in option.long]
    values = [] if option.values is None else ["-r", _values(option.values)]
    return " ".join([*names, *values, "-d", _quote(option.summary)])


def _values(values: Values) -> str:
    if values.files:
        return "-F"
    words = [rf"{word}\t" for word in values.words]
    if values.cached:
        words.append(f"(__chatapp_tail_cached {values.cached})")
    return f"-f -k -a {_quote(' '.join(words))}" if words else "-f"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
