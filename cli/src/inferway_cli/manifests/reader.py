"""Reader of manifests with the lines of their fields. It collects all errors; none stops it."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from inferway_cli.manifests import kinds, schema_check, yaml_composer, yaml_constructor
from inferway_cli.manifests.diagnostics import Diagnostic
from inferway_contract.field_errors import FieldError, Path

MOST_ERRORS: Final = 50
"""Errors reported of one manifest: it takes time to find the line of each."""


class File(NamedTuple):
    """A file's content, or the problem of reading it."""

    name: str
    content: bytes | None
    problem: str = ""


class Manifest(NamedTuple):
    """One object of a kind that is read, with its place in the text."""

    value: dict[str, Any]
    kind: str
    namespace: str
    name: str
    file: str
    where: tuple[str, ...]
    root: Node
    is_sound: bool = True
    """Whether it is valid. An invalid manifest is kept, because others may refer to it."""

    @property
    def line(self) -> int:
        """The line in which the manifest starts."""
        return yaml_composer.line_of(self.root)

    def diagnostic(self, error: FieldError, line: int = 0) -> Diagnostic:
        """Return the error with the line of its field, or of the nearest field around it."""
        path, message = error
        field_line, node = yaml_constructor.locate(self.root, path)
        if "must be text" in message and isinstance(node, ScalarNode) and not message.startswith(node.value):
            message += f" (it is written {node.value})"
        subject = f"{self.kind} {self.namespace}/{self.name}"
        return Diagnostic(self.file, line or field_line, (*self.where, subject), path, message)


class Loaded(NamedTuple):
    """Manifests with the errors in them, and notes about skipped objects."""

    manifests: tuple[Manifest, ...]
    errors: tuple[Diagnostic, ...]
    notes: tuple[Diagnostic, ...]


def load(files: Iterable[File]) -> Loaded:
    """Read the manifests of the kinds in `kinds.VERSIONS`, in the order of the files."""
    reader = _Reader()
    for file in files:
        reader.read(file)
    return Loaded(tuple(reader.manifests), tuple(reader.errors), tuple(reader.notes))


class _Reader:
    def __init__(self) -> None:
        self.manifests: list[Manifest] = []
        self.errors: list[Diagnostic] = []
        self.notes: list[Diagnostic] = []
        self._first: dict[tuple[str, str, str], Manifest] = {}

    def read(self, file: File) -> None:
        if file.content is None:
            self.errors.append(Diagnostic(file.name, 0, (), (), file.problem))
            return
        try:
            for number, root in yaml_composer.documents(yaml_composer.decode(file.content)):
                self._object(file.name, (f"document {number}",), root)
        except yaml_composer.InvalidYAMLError as error:
            self.errors.append(Diagnostic(file.name, error.line, (), (), str(error)))

    def _object(self, file: str, where: tuple[str, ...], root: Node) -> None:
        if not isinstance(root, MappingNode):
            message = "a manifest is a mapping with apiVersion, kind and metadata"
            self.errors.append(Diagnostic(file, yaml_composer.line_of(root), where, (), message))
            return
        identity = {field: _text(root, field) for field in ("apiVersion", "kind")}
        wrong = [(field, text) for field, text in identity.items() if not isinstance(text, str) or not text]
        for field, text in wrong:
            message = "is required" if text is None else "must be text"
            self.errors.append(Diagnostic(file, yaml_constructor.locate(root, (field,))[0], where, (field,), message))
        if not wrong:
            self._identified(file, where, root, str(identity["apiVersion"]), str(identity["kind"]))

    def _identified(self, file: str, where: tuple[str, ...], root: MappingNode, version: str, kind: str) -> None:
        if (version, kind) == ("v1", "List"):
            self._list(file, where, root)
        elif version in kinds.VERSIONS.get(kind, ()):
            self._manifest(file, where, root, kind)
        elif (error := kinds.kind_error(version, kind)) is not None:
            field, message = error
            self.errors.append(Diagnostic(file, yaml_constructor.locate(root, (field,))[0], where, (field,), message))
        else:
            message = f"{kind} ({version}) is skipped; the kinds read here are {kinds.KNOWN}"
            self.notes.append(Diagnostic(file, yaml_composer.line_of(root), where, (), message))

    def _list(self, file: str, where: tuple[str, ...], root: MappingNode) -> None:
        line, items = yaml_constructor.locate(root, ("items",))
        if not isinstance(items, SequenceNode):
            self.errors.append(Diagnostic(file, line, where, ("items",), "a List has its manifests here, as a list"))
            return
        for index, item in enumerate(items.value):
            self._object(file, (*where, f"items[{index}]"), item)

    def _manifest(self, file: str, where: tuple[str, ...], root: MappingNode, kind: str) -> None:
        faults: list[yaml_constructor.Fault] = []
        value = yaml_constructor.construct(root, (), faults)
        assert isinstance(value, dict)  # noqa: S101 - a mapping's value is a dict
        namespace, name = _identity(value)
        manifest = Manifest(value, kind, namespace or "?", name or "?", file, where, root)
        errors = [(FieldError(fault.path, fault.message), fault.line) for fault in faults]
        paths = {fault.path for fault in faults}
        # A field without a value already has an error; an error about its replacement would be noise.
        errors += [(error, 0) for error in schema_check.errors(kind, value) if not _covered(error.path, paths)]
        self.errors += [manifest.diagnostic(error, line) for error, line in errors[:MOST_ERRORS]]
        if len(errors) > MOST_ERRORS:
            self.errors.append(manifest.diagnostic(FieldError((), f"... and {len(errors) - MOST_ERRORS:,} more")))
        if not (namespace and name):
            return
        manifest = manifest._replace(is_sound=not errors)
        first = self._first.setdefault((kind, namespace, name), manifest)
        if first is manifest:
            self.manifests.append(manifest)
        else:
            message = f"is defined twice; first in {first.file}:{first.line}"
            self.errors.append(manifest.diagnostic(FieldError((), message)))


def _text(root: MappingNode, field: str) -> yaml_constructor.Value:
    """Return a field's value without errors. The manifest may be of a foreign kind."""
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
        # The compiler needs one; the API server would take it from the request.
        namespace = fields["namespace"] = schema_check.DEFAULT_NAMESPACE
    return namespace if isinstance(namespace, str) else "", name if isinstance(name, str) else ""


def _covered(path: Path, reported: set[Path]) -> bool:
    # The empty path covers nothing: an invalid key at the top does not affect the other fields.
    return any(path[:length] in reported for length in range(1, len(path) + 1))
