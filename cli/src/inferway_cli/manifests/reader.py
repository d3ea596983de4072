"""Files as manifests, each with the lines its fields stand in. All mistakes are collected; none ends the reading."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from inferway_cli.manifests import kinds, metadata, schema_check, yaml_composer, yaml_constructor
from inferway_cli.manifests.diagnostics import Diagnostic
from inferway_contract.field_errors import FieldError

MOST_OF_ONE: Final = 50
"""Mistakes told of one manifest: finding the line of each costs time, and nobody mends more at once."""


class File(NamedTuple):
    """A file's content, or why there is none."""

    name: str
    content: bytes | None
    problem: str = ""


class Manifest(NamedTuple):
    """One object of a known kind, with its place in the text."""

    value: dict[str, Any]
    kind: str
    namespace: str
    name: str
    file: str
    where: tuple[str, ...]
    root: Node
    is_sound: bool = True
    """Whether it has the right form. One that has not is kept too: others may name it."""

    @property
    def line(self) -> int:
        """The line in which the manifest starts."""
        return yaml_composer.line_of(self.root)

    def mistake(self, complaint: FieldError, line: int = 0) -> Diagnostic:
        """The complaint with the line of the field it is about, or of the nearest field around it."""
        path, message = complaint
        found, node = yaml_constructor.locate(self.root, path)
        if "must be text" in message and isinstance(node, ScalarNode) and not message.startswith(node.value):
            message += f" (it is written {node.value})"
        subject = f"{self.kind} {self.namespace}/{self.name}"
        return Diagnostic(self.file, line or found, (*self.where, subject), path, message)


class Loaded(NamedTuple):
    """What was read, what is wrong with it, and what was passed over."""

    manifests: tuple[Manifest, ...]
    mistakes: tuple[Diagnostic, ...]
    notes: tuple[Diagnostic, ...]


def load(files: Iterable[File]) -> Loaded:
    """Manifests of known kinds, in the order of the files."""
    reader = _Reader()
    for file in files:
        reader.read(file)
    return Loaded(tuple(reader.manifests), tuple(reader.mistakes), tuple(reader.notes))


class _Reader:
    def __init__(self) -> None:
        self.manifests: list[Manifest] = []
        self.mistakes: list[Diagnostic] = []
        self.notes: list[Diagnostic] = []
        self._known: dict[tuple[str, str, str], Manifest] = {}

    def read(self, file: File) -> None:
        if file.content is None:
            self.mistakes.append(Diagnostic(file.name, 0, (), (), file.problem))
            return
        try:
            for document in yaml_composer.documents(yaml_composer.decode(file.content)):
                self._object(file.name, (f"document {document.number}",), document.root)
        except yaml_composer.InvalidYAMLError as error:
            self.mistakes.append(Diagnostic(file.name, error.line, (), (), error.message))

    def _object(self, file: str, where: tuple[str, ...], root: Node) -> None:
        if not isinstance(root, MappingNode):
            message = "a manifest is a mapping with apiVersion, kind and metadata"
            self.mistakes.append(Diagnostic(file, yaml_composer.line_of(root), where, (), message))
            return
        identity = {field: _text(root, field) for field in ("apiVersion", "kind")}
        wrong = [(field, text) for field, text in identity.items() if not isinstance(text, str) or not text]
        for field, text in wrong:
            message = "is required" if text is None else "must be a string"
            self.mistakes.append(Diagnostic(file, yaml_constructor.locate(root, (field,))[0], where, (field,), message))
        if not wrong:
            self._identified(file, where, root, str(identity["apiVersion"]), str(identity["kind"]))

    def _identified(self, file: str, where: tuple[str, ...], root: MappingNode, version: str, kind: str) -> None:
        if (version, kind) == ("v1", "List"):
            self._list(file, where, root)
        elif kinds.is_known(version, kind):
            self._manifest(file, where, root, kind)
        elif (mistake := kinds.mistake(version, kind)) is not None:
            field, message = mistake
            self.mistakes.append(Diagnostic(file, yaml_constructor.locate(root, (field,))[0], where, (field,), message))
        else:
            message = f"{kind} ({version}) is passed over; the kinds read here are {kinds.KNOWN}"
            self.notes.append(Diagnostic(file, yaml_composer.line_of(root), where, (), message))

    def _list(self, file: str, where: tuple[str, ...], root: MappingNode) -> None:
        line, items = yaml_constructor.locate(root, ("items",))
        if not isinstance(items, SequenceNode):
            self.mistakes.append(Diagnostic(file, line, where, ("items",), "a List has its manifests here, as a list"))
            return
        for index, item in enumerate(items.value):
            self._object(file, (*where, f"items[{index}]"), item)

    def _manifest(self, file: str, where: tuple[str, ...], root: MappingNode, kind: str) -> None:
        faults: list[yaml_constructor.Fault] = []
        value = yaml_constructor.construct(root, (), faults)
        assert isinstance(value, dict)  # noqa: S101 - a mapping's value is a dict
        namespace, name = _identity(value)
        manifest = Manifest(value, kind, namespace or "?", name or "?", file, where, root)
        told = [(FieldError(fault.path, fault.message), fault.line) for fault in faults]
        paths = {fault.path for fault in faults}
        # A field that has no value was told already; what the schema says of the value put there would be noise.
        told += [(found, 0) for found in schema_check.errors(kind, value) if not _covered(found.path, paths)]
        self.mistakes += [manifest.mistake(found, line) for found, line in told[:MOST_OF_ONE]]
        if len(told) > MOST_OF_ONE:
            self.mistakes.append(manifest.mistake(FieldError((), f"... and {len(told) - MOST_OF_ONE:,} more")))
        if namespace and name:
            self._enter(manifest._replace(is_sound=not told))

    def _enter(self, manifest: Manifest) -> None:
        key = (manifest.kind, manifest.namespace, manifest.name)
        first = self._known.setdefault(key, manifest)
        if first is not manifest:
            message = f"is defined twice; first in {first.file}:{first.line}"
            self.mistakes.append(manifest.mistake(FieldError((), message)))
            return
        self.manifests.append(manifest)


def _text(root: MappingNode, field: str) -> yaml_constructor.Value:
    """A field's value before the manifest is known to be one of ours, and mistakes in it matter."""
    for key, item in root.value:
        if isinstance(key, ScalarNode) and key.value == field:
            return yaml_constructor.construct(item, (), [])
    return None


def _identity(value: dict[str, Any]) -> tuple[str, str]:
    fields = value.get("metadata")
    if not isinstance(fields, dict):
        return "", ""
    name, namespace = fields.get("name"), fields.get("namespace")
    if namespace is None or namespace == "":
        # The World wants one; the API server would have put it there from the request.
        namespace = fields["namespace"] = metadata.DEFAULT_NAMESPACE
    return namespace if isinstance(namespace, str) else "", name if isinstance(name, str) else ""


def _covered(path: yaml_constructor.Path, told: set[yaml_constructor.Path]) -> bool:
    # Of the manifest itself nothing is covered: a bad key at the top says nothing of the fields beside it.
    return any(path[:length] in told for length in range(1, len(path) + 1))
