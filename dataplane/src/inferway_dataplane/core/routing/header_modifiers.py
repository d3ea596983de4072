"""Header modifiers: set, add, remove, on the list of fields that goes on."""

from inferway_contract.document import HeaderEdit
from inferway_dataplane.core.messages.field_kinds import Fields


class HeaderModifiers:
    """A header modifier with its names and values as bytes."""

    __slots__ = ("_added", "_gone")

    def __init__(self, edit: HeaderEdit) -> None:
        fields = [(entry.name.encode(), entry.value.encode()) for entry in (*edit.set, *edit.add)]
        removed = {name.lower().encode() for name in edit.remove}
        # `set` replaces: it removes what was there and adds its own. What is removed is removed even when also added.
        self._gone = removed | {entry.name.lower().encode() for entry in edit.set}
        self._added = [field for field in fields if field[0].lower() not in removed]

    def apply(self, fields: Fields) -> Fields:
        """A new list; the given one stays as it is."""
        gone = self._gone
        return (
            [field for field in fields if field[0].lower() not in gone] + self._added if gone else fields + self._added
        )
