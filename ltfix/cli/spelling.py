"""The library's names as the command line spells them.

The library names options and values as Python does: ``normalize=none``, ``overwrite=True``. The user typed
``--normalize none`` and ``--overwrite``, and ``--set delta=0.9`` for a value that has no option of its own.
"""

from __future__ import annotations

import re
import shlex

from ltfix.cli import config
from ltfix.errors import LtfixError

_TEXT = re.compile(
    r"`(?P<code>[^`]*)`"  # a call: `ltfix.fit(CACHE, method="auto")`
    r"|(?P<quoted>(?<!\w)'[^']*'(?!\w)|\"[^\"]*\")"  # what the user wrote stays
    r"|(?<!--set )(?<![\w.:,=/-])(?P<name>[a-z][a-z0-9_]*)=(?P<value>[^\s;()]*[^\s;(),.:])"
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CALL = re.compile(r"ltfix\.(\w+)\((.*?)\)(?:\.render\(\"(\w+)\"\))?")
_ARGUMENT = re.compile(r"""(?:(\w+)=)?('[^']*'|"[^"]*"|[^\s,'"\[\]]+)""")


def spell(text: str, *, options: bool = True) -> str:
    """``text`` with every ``name=value`` that sets something in the running command as it is typed there.

    Args:
        options: False leaves pairs alone whose name is an option of the command: they are parts of another's
            value, as ``few=20`` is of --fail-under.
    """
    return _TEXT.sub(lambda found: _replaced(found, options), text)


def spell_error(err: LtfixError) -> str:
    """The line of an error as the user of the running command should read it."""
    where, hint, takes_pairs = err.where, err.hint, False
    if isinstance(err.place, str):
        name, equals, _ = err.place.partition("=")
        if name.startswith("--"):  # what could not be read has the option's long name
            name = name[2:].replace("-", "_")
        where = _spell_name(name) if _NAME.fullmatch(name) and not equals else spell(err.place)
        option = config.option(name)
        if option and equals and not option.many:  # of several it says which
            where = config.place(option.key, config.origin(option.key)) or where
        takes_pairs = option is not None and "=" in (option.metavar or "")
    for key, value in config.current().values.items():  # data = "photo" of a file that nobody typed
        if (told := config.place(key, config.origin(key))) and str(value) == where:
            where = f"{where}, from {told}"
    what = spell(err.what, options=not takes_pairs)
    hint = None if hint is None else spell(hint, options=not takes_pairs)
    return str(LtfixError(what, where=where, hint=hint))


def _replaced(found: re.Match[str], options: bool) -> str:
    if found["code"] is not None:
        call = _CALL.fullmatch(found["code"])
        return f"`{_command(*call.groups()) if call else found['code']}`"
    if found["quoted"] is not None:
        return found[0]
    name, value = found["name"], found["value"]
    if re.search(r",\w+=", value):  # few=20,all=45 is one value, not two options
        return found[0]
    option = config.option(name)
    if option is not None:
        return _option(option.flag, value) if options else found[0]
    settable = not re.search(r",|\.\.", value)  # delta=0.5,0.9 are points of a sweep
    value = {"True": "true", "False": "false"}.get(value, value)
    return f"--set {name}={value}" if settable and is_set(name) else found[0]


def _command(function: str, arguments: str, form: str | None) -> str:
    """A call of the library as a command; of ``.render("json")`` the file that it goes into."""
    words = ["ltfix", function.removesuffix("_features").replace("_", "-")]
    rendered = f", format={form}, output=last.{form}" if form else ""
    for name, text in _ARGUMENT.findall(arguments + rendered):
        value = shlex.quote(text[1:-1] if text[0] in "'\"" else text)
        words.append(_option("--" + name.replace("_", "-"), value) if name else value)
    return " ".join("…" if word == "..." else word for word in words)


def _option(flag: str, value: str) -> str:
    switches = {"True": flag, "False": f"--no-{flag.lstrip('-')}"}
    return switches.get(value, f"{flag} {value}")


def _spell_name(name: str) -> str:
    """A bare name: an option (where it is set, if not typed), a value, or some other word."""
    here = config.current()
    if name in map(str, here.values.values()):  # a model called `views`, say: the user's word
        return name
    option = config.option(name)
    if option is not None:
        typed = option.typed(here.values.get(option.key))
        return config.place(option.key, config.origin(option.key)) or typed
    return f"--set {name}" if is_set(name) else name


def is_set(name: str) -> bool:
    """Whether ``name`` is a value of some method or recipe, or was given as one, in a command with --set."""
    pairs = config.option("set")
    if pairs is None:
        return False
    if name in {
        pair.partition("=")[0].replace("-", "_") for pair in config.current().values.get(pairs.key) or ()
    }:
        return True
    from ltfix.stage1.recipes import recipes
    from ltfix.stage2.methods.registry import methods

    known = [*(method.values() for method in methods()), *(recipe.values() for recipe in recipes())]
    return any(name in values for values in known)
