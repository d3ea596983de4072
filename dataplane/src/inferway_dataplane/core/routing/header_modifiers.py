"""Header modifiers (Gateway API HTTPHeaderFilter): set, add and remove fields."""

from inferway_contract.document import HeaderEdit
from inferway_dataplane.core.messages.field_kinds import Fields


class HeaderModifiers:
    """A compiled header modifier."""

    __slots__ = ("_added", "_dropped")

    def __init__(self, edit: HeaderEdit) -> None:
        fields = [(entry.name.encode(), entry.value.encode()) for entry in (*edit.set, *edit.add)]
        removed = {name.lower().encode() for name in edit.remove}
        # `set` removes the field and adds its own value. `remove` wins over `set` and `add`.
        self._dropped = removed | {entry.name.lower().encode() for entry in edit.set}
        self._added = [field for field in fields if field[0].lower() not in removed]

    def apply(self, fields: Fields) -> Fields:
        """Return the modified fields as a new list."""
        dropped = self._dropped
        return (
            [field for field in fields if field[0].lower() not in dropped] + self._added
            if dropped
            else fields + self._added
        )
