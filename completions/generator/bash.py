"""Completion for bash 4 and later, with or without the bash-completion package."""

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from .tree import Command, Option, Values

_SCRIPT = r"""# bash completion for chatapp-tail                         -*- shell-script -*-
# @NOTE@

_chatapp_tail_offer() { # WORD...: those that begin like what was typed
    local word
    for word; do
        [[ $word != "$value"* ]] || COMPREPLY+=("$prefix$word")
    done
}

_chatapp_tail_cached() { # licences|messengers|channels: of the lines of the account seen last
    local LC_ALL=C file=${XDG_CACHE_HOME:-${HOME-}/.cache}/chatapp-tail/lines
    local pairs=() pair licence messenger
    [[ -f $file && -r $file ]] || return 0
    mapfile -t -n 1000 pairs 2>/dev/null <"$file"
    for pair in "${pairs[@]}"; do
        licence=${pair%% *} messenger=${pair#* }
        # Whoever wrote it, only what looks like a line is taken from it.
        [[ ${#licence} -le 20 && ${#messenger} -le 64 ]] || continue
        [[ $licence == [0-9]* && $licence != *[!0-9]* ]] || continue
        [[ $messenger == [A-Za-z]* && $messenger != *[!A-Za-z0-9_]* ]] || continue
        case $1 in
        licences) _chatapp_tail_offer "$licence" ;;
        messengers) _chatapp_tail_offer "$messenger" ;;
        channels) _chatapp_tail_offer "$licence/$messenger" ;;
        esac
    done
}

_chatapp_tail_files() { # readline's own completion of files, with its quoting
    compopt -o bashdefault -o default 2>/dev/null || :
}

_chatapp_tail_values() { # COMMAND OPTION: offer values; fails when it takes none
    case $1:$2 in
@VALUES@
    *) return 1 ;;
    esac
}

_chatapp_tail_options() { # COMMAND
    case $1 in
@OPTIONS@
    esac
}

_chatapp_tail_arguments() { # COMMAND
    case $1 in
@ARGUMENTS@
    *) _chatapp_tail_options "$1" ;;
    esac
}

_chatapp_tail() {
    local value=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local option=$before prefix='' command=''
    COMPREPLY=()
    if ((COMP_CWORD > 1)); then
        case ${COMP_WORDS[1]} in
        @COMMANDS_PATTERN@) command=${COMP_WORDS[1]} ;;
        esac
    fi
    # readline divides --output=json into three words, unless the user has told it not to.
    if [[ $value == = ]]; then
        value=''
    elif [[ $before == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $value == --*=* ]]; then
        option=${value%%=*} prefix=${value%%=*}= value=${value#*=}
    elif [[ $value == -[!-]?* ]]; then
        option=${value:0:2} prefix=${value:0:2} value=${value:2}
    fi
    if [[ $before == *[\<\>] ]]; then
        _chatapp_tail_files
    elif _chatapp_tail_values "$command" "$option"; then
        :
    elif [[ -n $prefix ]]; then
        :
    elif [[ $value == -* ]]; then
        _chatapp_tail_options "$command"
    elif ((COMP_CWORD == 1)); then
        _chatapp_tail_offer @COMMANDS@
    else
        _chatapp_tail_arguments "$command"
    fi
}

complete -F _chatapp_tail chatapp-tail
"""


def script(commands: Sequence[Command], note: str) -> str:
    """Return the script; `note` says in one line where it comes from."""
    named = [command.name for command in commands if command.name]
    return (
        _SCRIPT.replace("@NOTE@", note)
        .replace("@VALUES@", "\n".join(_values_of_all(commands)))
        .replace("@OPTIONS@", "\n".join(map(_options, commands)))
        .replace("@ARGUMENTS@", "\n".join(_arguments(commands)))
        .replace("@COMMANDS_PATTERN@", " | ".join(named))
        .replace("@COMMANDS@", " ".join(named))
    )


def _values_of_all(commands: Iterable[Command]) -> Iterator[str]:
    for command in commands:
        silent = []
        for option in command.options:
            if option.values is None:
                continue
            if action := _action(option.values):
                yield _wrapped(f"    {_pattern(command, [option])}) {action} ;;")
            else:
                silent.append(option)
        if silent:
            yield _wrapped(f"    {_pattern(command, silent)}) ;;")


def _pattern(command: Command, options: Iterable[Option]) -> str:
    return " | ".join(f"{command.name}:{name}" for option in options for name in option.names)


def _action(values: Values) -> str:
    actions = []
    if values.words:
        actions.append(f"_chatapp_tail_offer {shlex.join(values.words)}")
    if values.cached:
        actions.append(f"_chatapp_tail_cached {values.cached}")
    if values.files:
        actions.append("_chatapp_tail_files")
    return " && ".join(actions)


def _options(command: Command) -> str:
    names = " ".join(name for option in command.options for name in option.names)
    return _wrapped(f"    {shlex.quote(command.name)}) _chatapp_tail_offer {names} ;;")


def _arguments(commands: Iterable[Command]) -> Iterator[str]:
    for command in commands:
        if command.argument and (action := _action(command.argument)):
            yield f"    {command.name}) {action} ;;"


def _wrapped(line: str) -> str:
    """Continue a long line on the next one."""
    return " \\\n".join(
        textwrap.wrap(
            line,
            98,
            subsequent_indent="        ",
            break_on_hyphens=False,
            break_long_words=False,
            drop_whitespace=True,
        )
    )
