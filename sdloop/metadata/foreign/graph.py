"""ComfyUI's graph as it is walked: nodes, and the links between them.

A graph comes out of a file and may hold anything: links to nodes that are not there, links in a
circle, inputs that are no object. Nothing here raises an error for that.
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
    """The nodes by their names, and what a link leads to."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.nodes = {
            name: Node(str(mapping(one).get("class_type")), mapping(mapping(one).get("inputs")))
            for name, one in values.items()
        }

    def linked(self, link: Any) -> Node | None:
        """The node that ``link`` leads to, if it is a link."""
        named = isinstance(link, list) and len(link) == 2 and isinstance(link[0], str | int)
        return self.nodes.get(str(link[0])) if named else None

    def sources(self, node: Node) -> list[Node]:
        """The nodes that ``node`` takes its inputs from."""
        found = (self.linked(link) for link in node.inputs.values())
        return [one for one in found if one is not None]

    def before(self, *starts: Node) -> list[Node]:
        """All nodes on the way to ``starts``, which are among them."""
        found, waiting = dict.fromkeys(starts), list(starts)
        while waiting:
            for one in self.sources(waiting.pop()):
                if one not in found:
                    found[one] = None
                    waiting.append(one)
        return list(found)

    def after(self, start: Node) -> list[Node]:
        """All nodes that use what ``start`` makes, directly or not."""
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
        """The nodes along the input ``name``, from the one that ``node`` is linked to."""
        seen: set[Node] = set()
        while node is not None and (following := self.linked(node.get(name))) is not None:
            if following in seen:
                return
            seen.add(following)
            yield following
            node = following

    def text(self, value: Any) -> str | None:
        """``value`` if it is text; of a link, the one text in the node that it leads to."""
        return next(self._values(value, lambda one: isinstance(one, str)), None)

    def value(self, value: Any) -> Any:
        """``value`` if it is no link; of a link, the one number in the node that it leads to.

        A link to anything else stays a link.
        """
        if not isinstance(value, list):
            return value
        return next(self._values(value, lambda one: number(one) is not None), value)

    def _values(self, value: Any, fits: Any) -> Iterator[Any]:
        """What ``value`` stands for, if anything: past nodes that hand on what they are given."""
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
