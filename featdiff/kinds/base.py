"""What is chosen by ``kind: NAME`` in the settings, and the tables of such choices, which are open to kinds from
outside the package."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar, Union, get_args

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from featdiff.errors import UserError
from featdiff.settings.base import Settings


class Named(Protocol):
    """What a table holds: a class with a name, a label for people and, in its docstring, a line for the docs."""

    label: ClassVar[str]

    @classmethod
    def called(cls) -> str: ...


T = TypeVar("T", bound=Named)


class Kind(Settings):
    """One choice: its settings and, in the methods of a subclass, what it does. The docstring's first paragraph is its
    line in the docs.

    A subclass narrows ``kind`` to ``Literal["name"]``, the name in the settings, and has a ``label``, the name for
    people.
    """

    label: ClassVar[str]
    kind: str

    @classmethod
    def called(cls) -> str:
        """The name in the settings."""
        return str(get_args(cls.model_fields["kind"].annotation)[0])


class Table(Mapping[str, type[T]], Generic[T]):
    """The things of one kind by name, in the order of the report: those of the package, then those that were added.

    ``base`` is what each of them extends.
    """

    def __init__(self, what: str, base: type[T], *things: type[T]):
        self.what, self.base = what, base
        self._own = {thing.called(): thing for thing in things}
        self._added: dict[str, type[T]] = {}
        self._places: dict[str, str] = {}

    def __getitem__(self, name: str) -> type[T]:
        return self._own[name] if name in self._own else self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._own, *self._added])

    def __len__(self) -> int:
        return len(self._own) + len(self._added)

    def add(self, thing: type[T], place: str) -> None:
        """Add a thing from outside; ``place`` is the file and line that errors name. Raises :class:`UserError` if its
        name is taken."""
        name = thing.called()
        if name in self:
            by = self._places.get(name, "featdiff")
            raise UserError(f"{place}: there is a {self.what} '{name}' already, of {by}: choose another name")
        self._added[name], self._places[name] = thing, place

    def added(self) -> tuple[str, ...]:
        """The names of what was added from outside."""
        return tuple(self._added)

    def remove(self, name: str) -> None:
        """Take out what was added."""
        del self._added[name], self._places[name]

    def label(self, name: str) -> str:
        """The name for people; of a thing that this installation does not know, the name itself."""
        return self[name].label if name in self else name

    def line(self, name: str) -> str:
        """The line in the docs, Markdown: the first paragraph of the docstring."""
        return " ".join((self[name].__doc__ or "").strip().split("\n\n")[0].split()).replace("``", "`")

    def field(self, base: type[T] | None = None) -> "_OneOf":
        """What makes ``Annotated[Base, TABLE.field()]`` a field that holds the settings of any of them, or of those
        that extend ``base``."""
        return _OneOf(self, base or self.base)


class _OneOf:
    """Validates by ``kind``. The JSON schema is that of the package's own kinds."""

    def __init__(self, table: Table[Any], base: type):
        self.table, self.base = table, base

    def kinds(self) -> dict[str, Any]:
        return {name: kind for name, kind in self.table.items() if issubclass(kind, self.base)}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        own = tuple(kind for name, kind in self.kinds().items() if name not in self.table.added())
        union = own[0] if len(own) == 1 else Annotated[Union[own], Field(discriminator="kind")]  # noqa: UP007
        return core_schema.no_info_wrap_validator_function(
            self.parse, handler.generate_schema(union), serialization=core_schema.simple_ser_schema("any")
        )

    def parse(self, value: Any, own: Callable[[Any], Any]) -> Any:
        """An instance or a mapping becomes the settings of its kind; errors are those of a union of all kinds."""
        kinds = self.kinds()
        name = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
        if isinstance(name, str) and name not in kinds:
            tags = ", ".join(map(repr, kinds))
            raise PydanticKnownError(
                "union_tag_invalid", {"discriminator": "'kind'", "tag": name, "expected_tags": tags}
            )
        return kinds[name].model_validate(value) if name in self.table.added() else own(value)
