"""ComfyUI's graph: nodes, and the links between them.

A graph comes from a file and may contain anything: links to missing nodes, circular links, inputs
of the wrong type. Nothing here raises an error for that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sdloop.metadata.foreign.value import mapping, number


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node: ``kind`` is its ``class_type``; an input is a value or a link."""

    kind: str
    inputs: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        return self.inputs.get(name, default)


class Graph:
    """The nodes by name, and methods to follow links."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.nodes = {
            name: Node(str(mapping(one).get("class_type")), mapping(mapping(one).get("inputs")))
            for name, one in values.items()
        }

    def linked(self, link: Any) -> Node | None:
        """The node that ``link`` points to; None if it is not a link."""
        named = isinstance(link, list) and len(link) == 2 and isinstance(link[0], str | int)
        return self.nodes.get(str(link[0])) if named else None

    def sources(self, node: Node) -> list[Node]:
        """The nodes that the inputs of ``node`` are linked to."""
        found = (self.linked(link) for link in node.inputs.values())
        return [one for one in found if one is not None]

    def before(self, *starts: Node) -> list[Node]:
        """All nodes that ``starts`` depend on, and ``starts`` themselves."""
        found, waiting = dict.fromkeys(starts), list(starts)
        while waiting:
            for one in self.sources(waiting.pop()):
                if one not in found:
                    found[one] = None
                    waiting.append(one)
        return list(found)

    def after(self, start: Node) -> list[Node]:
        """All nodes that depend on ``start``, directly or indirectly."""
        users: dict[Node, list[Node]] = {}
        for node in self.nodes.values():
            for one in self.sources(node):
                users.setdefault(one, []).append(node)
        found: dict[Node, None] = {}
        waiting = [start]
        while waiting:
            for one in users.get(waiting.pop(), []):
                if one not in found:
                    found[one] = None
                    waiting.append(one)
        return [one for one in found if one is not start]

    def chain(self, node: Node | None, name: str) -> Iterator[Node]:
        """Follow the input ``name`` from node to node, after ``node`` itself."""
        seen: set[Node] = set()
        while node is not None and (following := self.linked(node.get(name))) is not None:
            if following in seen:
                return
            seen.add(following)
            yield following
            node = following

    def text(self, value: Any) -> str | None:
        """``value`` if it is text; for a link, the only text in the linked node."""
        return next(self._values(value, lambda one: isinstance(one, str)), None)

    def value(self, value: Any) -> Any:
        """``value`` if it is not a link; for a link, the only number in the linked node.

        A link to anything else stays a link.
        """
        if not isinstance(value, list):
            return value
        return next(self._values(value, lambda one: number(one) is not None), value)

    def _values(self, value: Any, fits: Any) -> Iterator[Any]:
        """The value that ``value`` links to, if any; nodes that only pass it on are skipped."""
        seen: set[Node] = set()
        while (node := self.linked(value)) is not None and node not in seen:
            seen.add(node)
            links = [one for one in node.inputs.values() if self.linked(one) is not None]
            found = [one for one in node.inputs.values() if fits(one)]
            if len(links) == 1 and (not found or node.kind.startswith("ShowText")):
                value = links[0]
            elif len(found) == 1 and not links:
                value = found[0]
            else:
                return
        if fits(value):
            yield value
