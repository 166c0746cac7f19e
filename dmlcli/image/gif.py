"""The size of a GIF, read before Pillow opens the file and allocates its first frame."""

_COLORS, _EXTENSION, _FRAME = 0x80, 0x21, 0x2C
_MOST_BLOCKS = 10_000


def size(data: bytes) -> tuple[int, int]:
    """Return the width and height that hold the canvas of a GIF and its first frame."""
    width, height = _number(data, 6), _number(data, 8)
    place = 13 + _palette(data[10:11])
    for _ in range(_MOST_BLOCKS):
        kind = data[place : place + 1]
        if kind == bytes([_FRAME]):
            right = _number(data, place + 1) + _number(data, place + 5)
            return max(width, right), max(height, _number(data, place + 3) + _number(data, place + 7))
        if kind != bytes([_EXTENSION]):
            break
        place += 2
        while length := data[place] if place < len(data) else 0:
            place += 1 + length
        place += 1
    return width, height


def _palette(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & _COLORS else 0


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 2], "little")
