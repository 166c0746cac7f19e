"""The shop's lamps and chairs."""

from materials import (
    BRASS,
    CERAMIC,
    CHARCOAL,
    CLOTH,
    CREAM,
    LAMP_SHADE,
    LEATHER,
    METAL,
    MUSTARD,
    NAVY,
    OAK,
    PLASTIC,
    SAGE,
    STEEL,
    TEAL,
    TERRACOTTA,
    WALNUT,
    WHITE,
    WOOD,
    Finish,
    Material,
    band,
    checks,
    front,
    stripes,
)
from product import Part, Product
from shapes import (
    Curve,
    Shape,
    ball,
    block,
    disc,
    lathe,
    leaned,
    mirrored,
    moved,
    profile,
    ribbon,
    rod,
    shade,
    spline,
    stroke,
    union,
)

CONE_SHADE = [(0.62, 1.15), (0.24, 1.78)]
DRUM_SHADE = [(0.55, 1.15), (0.5, 1.75)]
DOME_SHADE = [(0.68, 1.12), (0.66, 1.28), (0.5, 1.55), (0.25, 1.7), (0.0, 1.74)]
BELL_SHADE = [(0.36, -0.42), (0.3, -0.2), (0.14, -0.04), (0.0, 0.02)]
URN_FOOT = [(0, 0), (0, 0), (0.24, 0), (0.3, 0.3), (0.26, 0.62), (0.07, 0.85), (0.05, 1.3)]
BULB = Material(Finish(0.02, 10, glow=1.2), (WHITE,))


def _lamp(name: str, line: Curve, surface: Material, foot: Shape, foot_material: Material) -> Product:
    bulb = Part(ball((0, 1.3, 0), (0.12, 0.15, 0.12)), BULB)
    return Product("lamp", name, (Part(shade(stroke(line), 0.045), surface), Part(foot, foot_material), bulb))


def _desk_lamp() -> Product:
    elbow, head = (-0.45, 0.9, 0.0), (0.15, 1.5, 0.0)
    joints = union(ball(elbow, (0.08, 0.08, 0.08)), ball(head, (0.09, 0.09, 0.09)))
    arm = union(rod((-0.1, 0.05, 0), elbow, 0.035), rod(elbow, head, 0.035), joints)
    bell = moved(leaned(shade(stroke(spline(BELL_SHADE)), 0.045), -35), 0.17, 1.5, 0.0)
    bulb = ball((0.33, 1.27, 0), (0.12, 0.12, 0.12))
    return Product(
        "lamp",
        "lamp-desk-arm",
        (
            Part(bell, Material(PLASTIC, (TERRACOTTA,))),
            Part(arm, Material(METAL, (BRASS,))),
            Part(disc(0.04, 0.4, 0.04), Material(PLASTIC, (CHARCOAL,))),
            Part(bulb, BULB),
        ),
    )


def lamps() -> list[Product]:
    """Shades of three shapes on feet of three shapes, and a desk lamp."""
    stand = union(disc(0.04, 0.36, 0.04), rod((0, 0.05, 0), (0, 1.3, 0), 0.035))
    urn = lathe(profile(spline(URN_FOOT)))
    cube = union(block((0, 0.3, 0), (0.22, 0.3, 0.22), 0.03), rod((0, 0.5, 0), (0, 1.3, 0), 0.03))
    brass, teal = Material(METAL, (BRASS,)), Material(CERAMIC, (TEAL,))
    ribs = Material(LAMP_SHADE, (CREAM, TERRACOTTA), stripes(1 / 12, upright=True))
    squares = Material(LAMP_SHADE, (CREAM, TERRACOTTA), checks(1 / 12, 0.2))
    sage = Material(PLASTIC, (SAGE, CREAM), band(1.16, 1.28))
    return [
        _lamp("lamp-cone-brass", CONE_SHADE, Material(LAMP_SHADE, (CREAM,)), stand, brass),
        _lamp("lamp-cone-walnut", CONE_SHADE, Material(LAMP_SHADE, (CREAM,)), cube, Material(WOOD, (WALNUT,))),
        _lamp("lamp-drum-stripes", DRUM_SHADE, ribs, urn, teal),
        _lamp("lamp-drum-checks", DRUM_SHADE, squares, urn, teal),
        _lamp("lamp-dome-band", spline(DOME_SHADE), sage, stand, brass),
        _desk_lamp(),
    ]


def _legs(seat: float, width: float, splay: float, thickness: float = 0.055) -> Shape:
    leg = rod((width, seat, width), (width + splay, 0.03, width + splay), thickness, thickness * 0.7)
    return mirrored(leg, "xz")


def _slat_chair(name: str, top: float, slats: int) -> Product:
    posts = mirrored(rod((0.4, 0.85, -0.4), (0.42, top, -0.52), 0.05), "x")
    rungs = [block((0, top - 0.08 - 0.24 * i, -0.51 + 0.03 * i), (0.4, 0.065, 0.028)) for i in range(slats)]
    frame = union(_legs(0.88, 0.4, 0.05), posts, *rungs)
    seat = block((0, 0.9, 0), (0.5, 0.06, 0.5), 0.04)
    return Product("chair", name, (Part(frame, Material(WOOD, (OAK,))), Part(seat, Material(CLOTH, (NAVY,)))))


def _shell_chair(name: str, surface: Material) -> Product:
    bend = spline([(0.52, 0.86), (0.44, 0.92), (0, 0.88), (-0.34, 0.92), (-0.5, 1.2), (-0.6, 1.75)])
    shell = Part(ribbon(stroke(bend), 0.46, 0.08), surface)
    return Product("chair", name, (shell, Part(_legs(0.88, 0.3, 0.14, 0.045), Material(WOOD, (WALNUT,)))))


def _club_chair() -> Product:
    arms = mirrored(block((0.66, 0.62, 0.02), (0.16, 0.36, 0.6), 0.13), "x")
    back = block((0, 0.95, -0.5), (0.66, 0.62, 0.2), 0.15)
    frame = union(arms, back, block((0, 0.42, 0), (0.6, 0.16, 0.55), 0.06))
    cushion = block((0, 0.68, 0.08), (0.5, 0.15, 0.52), 0.1)
    return Product(
        "chair",
        "chair-club-navy",
        (
            Part(frame, Material(CLOTH, (NAVY,))),
            Part(cushion, Material(CLOTH, (MUSTARD,))),
            Part(_legs(0.3, 0.5, 0.04, 0.06), Material(WOOD, (WALNUT,))),
        ),
    )


def _stool() -> Product:
    ring = shade(stroke([(0.46, 0.45), (0.46, 0.46)]), 0.06)
    frame = union(_legs(1.15, 0.24, 0.16, 0.045), ring)
    seat = Part(disc(1.2, 0.46, 0.09, 0.07), Material(LEATHER, (TERRACOTTA,)))
    return Product("chair", "chair-stool-round", (seat, Part(frame, Material(METAL, (STEEL,)))))


def chairs() -> list[Product]:
    """A slatted chair with a low and a high back, a shell chair in two patterns, a club chair and a stool."""
    broad = stripes(0.23, mapping=front, upright=True)
    return [
        _slat_chair("chair-slat-low", 1.66, 2),
        _slat_chair("chair-slat-high", 2.3, 4),
        _shell_chair("chair-shell-plain", Material(PLASTIC, (MUSTARD,))),
        _shell_chair("chair-shell-stripes", Material(PLASTIC, (MUSTARD, CREAM), broad)),
        _club_chair(),
        _stool(),
    ]
