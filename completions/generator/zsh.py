"""Completion for zsh, on its `_arguments`."""

from collections.abc import Iterable, Iterator, Sequence

from .tree import Command, Option, Values

_SCRIPT = r"""#compdef chatapp-tail
# @NOTE@

_chatapp-tail_pairs() { # the lines of the account seen last, into `pairs`
    emulate -L zsh -o extended_glob
    local file=${XDG_CACHE_HOME:-$HOME/.cache}/chatapp-tail/lines
    pairs=()
    [[ -f $file && -r $file ]] || return 1
    # Whoever wrote it, only what looks like a line is taken from it.
    pairs=(${(M)${(f)"$(<$file)"}:#[0-9](#c1,20) [A-Za-z][A-Za-z0-9_](#c0,63)})
}

_chatapp-tail_licences() {
    local -a pairs expl
    _chatapp-tail_pairs
    _wanted licences expl licence compadd "$@" - ${(u)pairs%% *}
}

_chatapp-tail_messengers() {
    local -a pairs expl
    _chatapp-tail_pairs
    _wanted messengers expl messenger compadd "$@" - @MESSENGERS@ ${(u)pairs#* }
}

_chatapp-tail_channels() {
    local -a pairs expl
    _chatapp-tail_pairs
    _wanted channels expl channel compadd "$@" - ${(u)pairs/ //}
}

_chatapp-tail_commands() {
    local -a commands=(
@COMMANDS@
    )
    _describe -t commands command commands
}

_chatapp-tail() {
    local curcontext=$curcontext
    local -A opt_args
    if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
        _chatapp-tail_commands
        return
    fi
    if (( CURRENT > 2 )); then
        case $words[2] in
@CASES@
        esac
    fi
    _arguments -s -S : \
@OPTIONS@
}

if [[ $funcstack[1] == _chatapp-tail ]]; then
    _chatapp-tail "$@"
else
    compdef _chatapp-tail chatapp-tail
fi
"""


def script(commands: Sequence[Command], note: str, messengers: Sequence[str]) -> str:
    """Return the script; `note` says in one line where it comes from."""
    tail, *others = commands
    listed = (f"        {_quote(f'{other.name}:{other.summary}')}" for other in others)
    return (
        _SCRIPT.replace("@NOTE@", note)
        .replace("@MESSENGERS@", " ".join(messengers))
        .replace("@COMMANDS@", "\n".join(listed))
        .replace("@CASES@", "\n".join(map(_case, others)))
        .replace("@OPTIONS@", _specifications(tail, " " * 8))
    )


def _case(command: Command) -> str:
    return f"""\
        ({command.name})
            shift words
            (( CURRENT-- ))
            curcontext=${{curcontext%:*}}-{command.name}:
            _arguments -s -S : \\
{_specifications(command, " " * 16)}
            return
            ;;"""


def _specifications(command: Command, indent: str) -> str:
    lines = [_option(option) for option in command.options]
    if command.argument:
        lines.append(_quote(f"*:file:{_action(command.argument)}"))
    return " \\\n".join(indent + line for line in lines)


def _option(option: Option) -> str:
    before = _quote(_excluded(option))
    names = list(_names(option))
    shown = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
    return f"{before}{shown}{_quote(_meaning(option))}"


def _excluded(option: Option) -> str:
    if option.ends:
        return "(- *)"
    return "*" if option.repeatable else f"({' '.join(option.names)})"


def _names(option: Option) -> Iterator[str]:
    if option.values is None:
        yield from option.names
        return
    for name in option.names:
        yield f"{name}=" if name.startswith("--") else f"{name}+"


def _meaning(option: Option) -> str:
    meaning = f"[{_escape(option.summary, '[]')}]"
    if option.values is None:
        return meaning
    what = option.long[0].lstrip("-") if option.values.words else option.metavar
    return f"{meaning}:{_escape(what, ':')}:{_action(option.values)}"


def _action(values: Values) -> str:
    """Return what offers the values; a space offers none and shows the metavar."""
    if values.cached:
        return f"_chatapp-tail_{values.cached}"
    if values.files:
        return "_files"
    return f"({' '.join(values.words)})" if values.words else " "


def _escape(text: str, special: Iterable[str]) -> str:
    text = text.replace("\\", "\\\\")
    for character in special:
        text = text.replace(character, f"\\{character}")
    return text


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
