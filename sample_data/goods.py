"""The shop's shoes, boxes and bags."""

from materials import (
    BRASS,
    CARD,
    CHARCOAL,
    CLOTH,
    CREAM,
    LEATHER,
    METAL,
    MUSTARD,
    NAVY,
    OAK,
    RUBBER,
    SAGE,
    TEAL,
    TERRACOTTA,
    WALNUT,
    WHITE,
    WOOD,
    Material,
    Pattern,
    band,
    checks,
    diagonal,
    dots,
    front,
    label,
    over,
    plain,
    side,
    stripes,
    within,
    zigzag,
)
from product import Part, Product
from shapes import (
    Curve,
    Point,
    Shape,
    ball,
    block,
    carved,
    common,
    mirrored,
    moved,
    narrowed,
    plate,
    polygon,
    prism,
    rod,
    spline,
    stroke,
    tube,
    union,
)

# Shoes are drawn from the side, with the toe to the right; half of the sole from above, as (x, z).
SOLE = [(-1.0, 0.0), (-0.92, 0.24), (-0.6, 0.31), (-0.1, 0.27), (0.35, 0.37), (0.7, 0.37), (0.98, 0.2), (1.06, 0.0)]
LOW_SHOE = [
    (-0.97, 0.1), (-1.0, 0.4), (-0.93, 0.74), (-0.82, 0.82), (-0.6, 0.7), (-0.3, 0.68), (-0.08, 0.82),
    (0.04, 0.8), (0.3, 0.6), (0.62, 0.44), (0.9, 0.37), (1.04, 0.24), (1.04, 0.1),
]  # fmt: skip
ANKLE_SHOE = [
    (-0.97, 0.1), (-1.0, 0.4), (-0.92, 0.8), (-0.9, 1.2), (-0.82, 1.28), (-0.5, 1.22), (-0.2, 1.3),
    (-0.1, 1.22), (0.06, 0.8), (0.3, 0.6), (0.62, 0.46), (0.9, 0.39), (1.04, 0.24), (1.04, 0.1),
]  # fmt: skip
SLIPPER = [
    (-0.97, 0.1), (-1.0, 0.3), (-0.94, 0.56), (-0.82, 0.6), (-0.5, 0.48), (0.0, 0.46), (0.14, 0.58),
    (0.4, 0.52), (0.75, 0.4), (1.0, 0.26), (1.04, 0.1),
]  # fmt: skip


def _from_above(low: float, high: float, grow: float = 0.0) -> Shape:
    """The sole's outline as a plate, `grow` larger all round."""
    half = [(x * (1 + grow), z * (1 + 2 * grow)) for x, z in SOLE]
    return plate(polygon(spline([*half, *((x, -z) for x, z in reversed(half[1:-1]))])), low, high, 0.05)


def _laces(start: Point, end: Point, rows: int) -> Part:
    """Laces across the instep from one point of its middle line to another; z is their half length."""
    rods = []
    for row in range(rows):
        x, y, half = (a + (b - a) * row / (rows - 1) for a, b in zip(start, end, strict=True))
        rods.append(rod((x, y, -half), (x + 0.04, y, half), 0.03))
    return Part(union(*rods), Material(CLOTH, (WHITE,)))


def _shoe(name: str, outline: Curve, surface: Material, sole: Material, opening: Shape, *extras: Part) -> Product:
    narrowing = narrowed(_from_above(-1.0, 3.0, 0.02), 0.22)
    upper = carved(common(prism(polygon(spline(outline)), 1.0), narrowing, 0.24), opening, 0.05)
    return Product("shoe", name, (Part(upper, surface), Part(_from_above(0.0, 0.17, -0.005), sole), *extras))


def shoes() -> list[Product]:
    """A runner in two patterns, its ankle-high sister, a slipper and a boot."""
    flank = within(diagonal(0.19, 0.5, slope=-0.45), (-0.32, 0.36), (0.2, 0.66), mapping=front)
    toe = within(plain, (0.62, 2.0), (-1.0, 9.0), mapping=front, offset=1)
    points = within(zigzag(0.22, 0.34, 0.14, mapping=front), (-2.0, 0.3), (0.2, 0.64), mapping=front)
    low_mouth, high_mouth = ball((-0.46, 0.92, 0), (0.4, 0.44, 0.17)), ball((-0.5, 1.4, 0), (0.34, 0.5, 0.17))
    white_sole = Material(RUBBER, (WHITE, TERRACOTTA), band(0.09, 0.13))
    dark_sole = Material(RUBBER, (CHARCOAL,))
    laces = _laces((0.06, 0.78, 0.1), (0.46, 0.52, 0.14), 4)
    high_laces = _laces((-0.06, 1.16, 0.08), (0.46, 0.54, 0.14), 7)
    navy_cream = (NAVY, CREAM)
    return [
        _shoe("shoe-runner-slash", LOW_SHOE, Material(CLOTH, navy_cream, flank), white_sole, low_mouth, laces),
        _shoe("shoe-runner-zigzag", LOW_SHOE, Material(CLOTH, navy_cream, points), white_sole, low_mouth, laces),
        _shoe(
            "shoe-ankle-toecap",
            ANKLE_SHOE,
            Material(CLOTH, navy_cream, toe),
            white_sole,
            high_mouth,
            high_laces,
        ),
        _shoe(
            "shoe-slipper-plain",
            SLIPPER,
            Material(LEATHER, (TERRACOTTA,)),
            dark_sole,
            ball((-0.36, 0.72, 0), (0.5, 0.42, 0.2)),
        ),
        _shoe(
            "shoe-boot-walnut", ANKLE_SHOE, Material(LEATHER, (WALNUT, CHARCOAL), band(1.05, 9)), dark_sole, high_mouth
        ),
    ]


def _carton(name: str, half: Point, lid: float, body: Material, cover: Material, *extras: Part) -> Product:
    """A box with a lid that reaches `lid` down its sides."""
    x, y, z = half
    lower = block((0, y, 0), half)
    upper = block((0, 2 * y - lid / 2 + 0.015, 0), (x + 0.03, lid / 2 + 0.015, z + 0.03))
    return Product("box", name, (Part(lower, body), Part(upper, cover), *extras))


def _ribboned(name: str, half: Point) -> Product:
    """A gift box: a ribbon both ways around it, and a bow."""
    x, y, z = half
    lengthwise = block((0, y + 0.02, 0), (x + 0.04, y + 0.025, 0.09), 0.01)
    crosswise = block((0, y + 0.02, 0), (0.09, y + 0.025, z + 0.04), 0.01)
    loop = spline([(0.0, 0.0), (0.16, 0.16), (0.34, 0.2), (0.36, 0.06), (0.18, 0.0), (0.0, 0.0)])
    raised = [(u, v + 2 * y + 0.06) for u, v in loop]
    bow = mirrored(prism(stroke(raised), 0.07, 0.01), "x")
    bow_tie = union(lambda p: bow(p) - 0.02, ball((0, 2 * y + 0.08, 0), (0.08, 0.07, 0.09)))
    ribbon = Part(union(lengthwise, crosswise, bow_tie), Material(LEATHER, (TERRACOTTA,)))
    white = Material(CARD, (CREAM,))
    return _carton(name, half, 0.2, white, white, ribbon)


def _crate() -> Product:
    """An open wooden box of slats."""
    rails = [block((0, 0.16 + 0.27 * i, 0.5), (0.72, 0.11, 0.03)) for i in range(3)]
    ends = [block((0.7, 0.16 + 0.27 * i, 0), (0.03, 0.11, 0.5)) for i in range(3)]
    posts = block((0.64, 0.42, 0.44), (0.05, 0.42, 0.05))
    floor = block((0, 0.06, 0), (0.7, 0.03, 0.5))
    stamp = within(plain, (-0.3, 0.3), (0.34, 0.52), mapping=front, offset=1)
    return Product(
        "box",
        "box-crate-oak",
        (Part(union(mirrored(union(*rails, *ends, posts), "xz"), floor), Material(WOOD, (OAK, CHARCOAL), stamp)),),
    )


def boxes() -> list[Product]:
    """A gift box in two proportions, a hat box in two patterns, a labeled carton and a crate."""
    teal, cover = (TEAL, CREAM), Material(CARD, (CREAM,))
    paper_label = label((-0.3, 0.3), (0.3, 1.0), mapping=front)
    parcel = Material(CARD, (OAK, WHITE, TERRACOTTA, CHARCOAL), paper_label)
    squares, side_squares = checks(0.2, 0.2, mapping=front), checks(0.2, 0.2, mapping=side)
    spots = dots(0.26, 0.26, 0.075, mapping=front)
    side_spots = dots(0.26, 0.26, 0.075, mapping=side)
    return [
        _ribboned("box-gift-cube", (0.5, 0.46, 0.5)),
        _ribboned("box-gift-flat", (0.75, 0.2, 0.55)),
        _carton("box-lid-dots", (0.6, 0.4, 0.45), 0.22, Material(CARD, teal, _faces(spots, side_spots, 0.6)), cover),
        _carton(
            "box-lid-checks",
            (0.6, 0.4, 0.45),
            0.22,
            Material(CARD, teal, _faces(squares, side_squares, 0.6)),
            cover,
        ),
        _carton("box-tall-label", (0.42, 0.72, 0.3), 0.16, parcel, Material(CARD, (OAK,))),
        _crate(),
    ]


def _faces(ahead: Pattern, aside: Pattern, half_width: float) -> Pattern:
    """One pattern on a box's front and back, another on its left and right."""
    ends = [
        within(aside, limits, (-9, 9), mapping=front)
        for limits in ((-9.0, -half_width + 0.01), (half_width - 0.01, 9.0))
    ]
    middle = within(ahead, (-half_width + 0.01, half_width - 0.01), (-9, 9), mapping=front)
    return over(middle, *ends)


def _straps(line: Curve, apart: float) -> Shape:
    """A pair of handles, before and behind the middle."""
    strap = tube(stroke(spline(line)), 0.04, flatness=0.8)
    return union(moved(strap, 0, 0, apart), moved(strap, 0, 0, -apart))


def _tote(name: str, width: float, height: float, surface: Material) -> Product:
    """A cloth bag that opens upwards, with two straps."""
    outline = [(-0.82 * width, 0.03), (0.82 * width, 0.03), (width, height), (-width, height)]
    bulk = narrowed(prism(polygon(outline), 0.26, 0.12), 0.35)
    pouch = carved(bulk, block((0, height, 0), (width - 0.06, 0.3, 0.14), 0.05))
    line = [(-0.5 * width, height - 0.18), (-0.42 * width, height + 0.3), (0.0, height + 0.5)]
    arch = [*line, *((-x, y) for x, y in reversed(line[:-1]))]
    straps = Part(_straps(arch, 0.21 / (1 + 0.35 * height) * 1.1), Material(LEATHER, (WALNUT,)))
    return Product("bag", name, (Part(pouch, surface), straps))


def _satchel(name: str, flap_drop: float, surface: Material) -> Product:
    """A leather bag with a flap and a buckle."""
    body = block((0, 0.45, 0), (0.72, 0.45, 0.22), 0.09)
    flap = block((0, 0.95 - flap_drop / 2, 0.05), (0.75, flap_drop / 2, 0.23), 0.07)
    grip = tube(stroke(spline([(-0.3, 0.9), (-0.26, 1.1), (0, 1.16), (0.26, 1.1), (0.3, 0.9)])), 0.045)
    buckle = block((0, 0.95 - flap_drop, 0.29), (0.1, 0.09, 0.03))
    return Product(
        "bag",
        name,
        (
            Part(body, Material(LEATHER, (WALNUT,))),
            Part(flap, surface),
            Part(grip, Material(LEATHER, (CHARCOAL,))),
            Part(buckle, Material(METAL, (BRASS,))),
        ),
    )


def bags() -> list[Product]:
    """A tote in two proportions and two patterns, and a satchel with two flaps."""
    bars = stripes(0.26, 0.5, mapping=front)
    return [
        _tote("bag-tote-stripes", 0.62, 1.05, Material(CLOTH, (CREAM, NAVY), bars)),
        _tote("bag-tote-wide-stripes", 0.88, 0.8, Material(CLOTH, (CREAM, NAVY), bars)),
        _tote(
            "bag-tote-label",
            0.62,
            1.05,
            Material(CLOTH, (CREAM, MUSTARD, NAVY, NAVY), label((-0.3, 0.3), (0.3, 0.9), front)),
        ),
        _satchel("bag-satchel-long-flap", 0.66, Material(LEATHER, (WALNUT,))),
        _satchel("bag-satchel-sage", 0.34, Material(LEATHER, (SAGE,))),
    ]
