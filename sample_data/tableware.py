"""The shop's mugs, bottles, bowls, teapots and vases: all turned around the y axis, most with something added."""

from materials import (
    BLUSH,
    BRASS,
    BRUSHED_METAL,
    CERAMIC,
    CHARCOAL,
    COPPER,
    CREAM,
    MATT_CERAMIC,
    METAL,
    MUSTARD,
    NAVY,
    OAK,
    PLASTIC,
    SAGE,
    STEEL,
    TEAL,
    TERRACOTTA,
    WHITE,
    WOOD,
    Color,
    Finish,
    Material,
    Pattern,
    band,
    checks,
    dots,
    label,
    lined,
    over,
    plain,
    stripes,
    within,
    zigzag,
)
from product import Part, Product
from shapes import (
    Curve,
    Shape,
    ball,
    carved,
    disc,
    hollow_profile,
    lathe,
    mirrored,
    profile,
    ribbed,
    scaled,
    spline,
    stroke,
    tube,
    union,
)

Colors = tuple[Color, ...]


def _vessel(
    wall: Curve, thickness: float, finish: Finish, colors: Colors, pattern: Pattern, inside: Color
) -> tuple[Part, Shape]:
    """An open vessel lined with the color `inside`, and the solid that it would be if filled."""
    rim_radius, rim = wall[-1]
    filled = lathe(profile([*wall, (rim_radius, rim + 0.3)]))
    painted = lined(pattern, filled, thickness * 0.7, len(colors))
    return Part(lathe(hollow_profile(wall, thickness)), Material(finish, (*colors, inside), painted)), filled


# Walls run from the foot to the rim as (radius, height); a doubled point is a corner.
STRAIGHT_WALL = [(0.0, 0.0), (0.0, 0.0), (0.93, 0.0), (1.0, 0.06), (1.0, 0.06), (1.0, 1.0)]
BARREL_WALL = [(0.0, 0.0), (0.0, 0.0), (0.72, 0.0), (0.8, 0.05), (1.05, 0.45), (0.98, 0.78), (0.9, 1.0)]
TAPERED_WALL = [(0.0, 0.0), (0.0, 0.0), (0.66, 0.0), (0.74, 0.06), (0.74, 0.06), (1.0, 1.0)]
ROUND_HANDLE = [(0.7, 0.8), (1.25, 0.84), (1.62, 0.66), (1.52, 0.36), (1.1, 0.2), (0.7, 0.2)]
SQUARE_HANDLE = [(0.7, 0.84), (1.5, 0.84), (1.58, 0.8), (1.58, 0.28), (1.5, 0.22), (0.7, 0.22)]


def _mug(
    name: str, wall: Curve, colors: Colors, pattern: Pattern, handle: Color, line: Curve = ROUND_HANDLE
) -> Product:
    curve = spline(wall)
    radius, height = max(r for r, _ in curve), curve[-1][1]
    body, filled = _vessel(curve, 0.06, CERAMIC, colors, pattern, WHITE)
    # Handles are for hands: equally deep on wide mugs and on slim ones.
    bent = [(radius * x if x < 1 else radius + (x - 1) * 0.42, y * height) for x, y in line]
    grip = carved(tube(stroke(spline(bent)), 0.055, flatness=0.75), filled)
    return Product("mug", name, (body, Part(grip, Material(CERAMIC, (handle,)))))


def mugs() -> list[Product]:
    """Three proportions of one striped mug, the same with dots, and two of other shapes."""
    classic = scaled(STRAIGHT_WALL, 0.43, 0.98)
    hoops = stripes(0.19)
    spots = dots(1 / 9, 0.21, 0.062, stretch=2.6)
    return [
        _mug("mug-classic-stripes", classic, (CREAM, NAVY), hoops, NAVY),
        _mug("mug-tall-stripes", scaled(STRAIGHT_WALL, 0.38, 1.42), (CREAM, NAVY), hoops, NAVY),
        _mug("mug-wide-stripes", scaled(STRAIGHT_WALL, 0.6, 0.74), (CREAM, NAVY), hoops, NAVY),
        _mug("mug-classic-dots", classic, (CREAM, NAVY), spots, NAVY),
        _mug("mug-barrel-band", scaled(BARREL_WALL, 0.46, 0.95), (TEAL, CREAM), band(0.3, 0.58), TEAL),
        _mug("mug-enamel-rim", scaled(TAPERED_WALL, 0.5, 0.9), (WHITE, NAVY), band(0.8, 9), NAVY, SQUARE_HANDLE),
    ]


SLIM_BOTTLE = [
    (0, 0), (0, 0), (0.29, 0), (0.33, 0.05), (0.33, 0.05), (0.33, 1.05), (0.3, 1.22), (0.13, 1.5), (0.13, 1.6),
]  # fmt: skip
ROUND_BOTTLE = [(0, 0), (0, 0), (0.3, 0), (0.45, 0.12), (0.55, 0.42), (0.45, 0.75), (0.2, 0.98), (0.14, 1.3)]
FLASK = [(0, 0), (0, 0), (0.3, 0), (0.33, 0.04), (0.33, 0.04), (0.33, 1.2), (0.33, 1.2), (0.27, 1.3), (0.27, 1.33)]


def _bottle(name: str, wall: Curve, surface: Material, cap: Shape, cap_material: Material) -> Product:
    return Product("bottle", name, (Part(lathe(profile(spline(wall))), surface), Part(cap, cap_material)))


def bottles() -> list[Product]:
    """A labeled bottle in two proportions, two flasks, and a round one with a cork."""
    print_colors = (SAGE, CREAM, TERRACOTTA, CHARCOAL)
    slim_label = Material(PLASTIC, print_colors, label((-0.2, 0.2), (0.32, 0.94)))
    stout_label = Material(PLASTIC, print_colors, label((-0.2, 0.2), (0.26, 0.77)))
    charcoal = Material(PLASTIC, (CHARCOAL,))
    lid = disc(1.44, 0.25, 0.12, 0.03)
    loop = tube(stroke(spline([(-0.17, 1.5), (-0.17, 1.68), (0, 1.78), (0.17, 1.68), (0.17, 1.5)])), 0.04)
    banded = Material(BRUSHED_METAL, (STEEL, TEAL), stripes(0.42, 0.42))
    zigzags = Material(MATT_CERAMIC, (TEAL, CREAM), zigzag(0.2, 0.4, 0.18))
    spots = Material(CERAMIC, (MUSTARD, CREAM), dots(0.125, 0.24, 0.075, stretch=3.0))
    return [
        _bottle("bottle-slim-label", SLIM_BOTTLE, slim_label, disc(1.62, 0.155, 0.1), charcoal),
        _bottle("bottle-stout-label", scaled(SLIM_BOTTLE, 1.6, 0.82), stout_label, disc(1.34, 0.24, 0.09), charcoal),
        _bottle("bottle-flask-bands", FLASK, banded, lid, Material(BRUSHED_METAL, (STEEL,))),
        _bottle("bottle-flask-zigzag", FLASK, zigzags, union(lid, loop), charcoal),
        _bottle("bottle-round-dots", ROUND_BOTTLE, spots, disc(1.36, 0.12, 0.11), Material(WOOD, (OAK,))),
    ]


DEEP_BOWL = [(0, 0.0), (0, 0.0), (0.34, 0.0), (0.36, 0.06), (0.36, 0.06), (0.62, 0.22), (0.78, 0.5), (0.8, 0.75)]
SPLAYED_BOWL = [(0, 0), (0, 0), (0.3, 0), (0.3, 0.1), (0.3, 0.1), (0.5, 0.2), (0.75, 0.42), (0.98, 0.62)]
FOOTED_BOWL = [
    (0, 0), (0, 0), (0.4, 0), (0.34, 0.1), (0.16, 0.22), (0.16, 0.3), (0.45, 0.42), (0.7, 0.66), (0.76, 0.95),
]  # fmt: skip


def _bowl(name: str, wall: Curve, colors: Colors, pattern: Pattern, inside: Color, finish: Finish) -> Product:
    body, _ = _vessel(spline(wall), 0.06, finish, colors, pattern, inside)
    return Product("bowl", name, (body,))


def bowls() -> list[Product]:
    """One banded bowl deep and shallow, the deep one with checks, and two of other shapes."""
    bands = over(band(0.34, 0.42), band(0.5, 0.66))
    low_bands = over(band(0.2, 0.25), band(0.3, 0.39))
    spots = dots(1 / 14, 0.2, 0.055, stretch=4.5)
    return [
        _bowl("bowl-deep-bands", DEEP_BOWL, (CREAM, TERRACOTTA), bands, CREAM, CERAMIC),
        _bowl("bowl-shallow-bands", scaled(DEEP_BOWL, 1.2, 0.6), (CREAM, TERRACOTTA), low_bands, CREAM, CERAMIC),
        _bowl("bowl-deep-checks", DEEP_BOWL, (CREAM, TERRACOTTA), checks(1 / 16, 0.2), CREAM, CERAMIC),
        _bowl("bowl-splayed-dots", SPLAYED_BOWL, (SAGE, CREAM), spots, WHITE, MATT_CERAMIC),
        _bowl("bowl-footed-copper", FOOTED_BOWL, (COPPER,), plain, COPPER, METAL),
    ]


ROUND_POT = [
    (0, 0), (0, 0), (0.36, 0.0), (0.44, 0.05), (0.66, 0.38), (0.58, 0.72), (0.34, 0.9), (0.34, 0.9),
    (0.33, 0.94), (0.3, 0.97), (0.16, 1.04), (0.0, 1.06),
]  # fmt: skip
CONE_POT = [
    (0, 0), (0, 0), (0.56, 0.0), (0.62, 0.05), (0.62, 0.05), (0.36, 1.0), (0.36, 1.0), (0.36, 1.05), (0.3, 1.08),
    (0, 1.1),
]  # fmt: skip
EAR = [(0.4, 0.74), (0.75, 0.82), (1.02, 0.66), (0.96, 0.38), (0.5, 0.22)]
SPOUT = [(-0.4, 0.26), (-0.72, 0.36), (-0.86, 0.62), (-1.04, 0.84)]


def _teapot(
    name: str, surface: Material, trim: Material, width: float, height: float, wall: Curve = ROUND_POT
) -> Product:
    body = lathe(profile(spline(scaled(wall, width, height))))
    top = wall[-1][1] * height
    knob = ball((0, top + 0.06, 0), (0.1, 0.09, 0.1))
    spout = tube(stroke(spline(scaled(SPOUT, width, height))), 0.15, taper=0.1)
    ear = carved(tube(stroke(spline(scaled(EAR, width, height))), 0.055, flatness=0.7), body)
    return Product("teapot", name, (Part(union(body, spout), surface), Part(union(knob, ear), trim)))


def _hoop_teapot() -> Product:
    """The teapot whose handle stands over the lid."""
    body = lathe(profile(spline(scaled(ROUND_POT, 1.1, 0.8))))
    spout = tube(stroke(spline([(-0.5, 0.3), (-0.8, 0.42), (-1.0, 0.66)])), 0.14, taper=0.08)
    hoop = tube(stroke(spline([(-0.48, 0.62), (-0.5, 1.0), (-0.3, 1.3), (0.3, 1.3), (0.5, 1.0), (0.48, 0.62)])), 0.04)
    pot = Part(union(body, spout), Material(MATT_CERAMIC, (CHARCOAL,)))
    knob = ball((0, 0.9, 0), (0.09, 0.08, 0.09))
    return Product("teapot", "teapot-hoop-brass", (pot, Part(union(hoop, knob), Material(METAL, (BRASS,)))))


def teapots() -> list[Product]:
    """A dotted teapot in two proportions, one like it in bands, a cone and one with a hoop."""
    spots = Material(CERAMIC, (BLUSH, WHITE), within(dots(0.1, 0.22, 0.065, stretch=3.6), (-1, 1), (0.1, 0.88)))
    tall_spots = Material(CERAMIC, (BLUSH, WHITE), within(dots(0.1, 0.22, 0.065, stretch=3.0), (-1, 1), (0.1, 1.2)))
    bands = Material(CERAMIC, (BLUSH, WHITE), within(stripes(0.2, 0.5), (-1, 1), (0.1, 0.9)))
    white = Material(CERAMIC, (WHITE,))
    zigzags = Material(MATT_CERAMIC, (SAGE, NAVY), within(zigzag(0.125, 0.6, 0.16, share=0.3), (-1, 1), (0.2, 0.8)))
    return [
        _teapot("teapot-round-dots", spots, white, 1.0, 1.0),
        _teapot("teapot-tall-dots", tall_spots, white, 0.82, 1.35),
        _teapot("teapot-round-bands", bands, white, 1.0, 1.0),
        _teapot("teapot-cone-zigzag", zigzags, Material(WOOD, (OAK,)), 1.0, 1.0, CONE_POT),
        _hoop_teapot(),
    ]


SLENDER_VASE = [(0, 0), (0, 0), (0.26, 0), (0.3, 0.05), (0.42, 0.6), (0.36, 1.1), (0.17, 1.5), (0.24, 1.75)]
GOURD_VASE = [
    (0, 0), (0, 0), (0.35, 0), (0.42, 0.06), (0.56, 0.4), (0.32, 0.78), (0.2, 0.95), (0.34, 1.2), (0.24, 1.45),
]  # fmt: skip
AMPHORA = [(0, 0), (0, 0), (0.2, 0), (0.22, 0.06), (0.46, 0.6), (0.5, 0.9), (0.24, 1.25), (0.2, 1.5), (0.28, 1.62)]
BEAKER_VASE = [(0, 0), (0, 0), (0.34, 0), (0.38, 0.04), (0.38, 0.04), (0.42, 1.45)]


def _vase(
    name: str, wall: Curve, finish: Finish, colors: Colors, pattern: Pattern, ears: Curve = (), ribs: int = 0
) -> Product:
    body, filled = _vessel(spline(wall), 0.05, finish, colors, pattern, CHARCOAL)
    if ribs:
        body = Part(ribbed(body.shape, ribs, 0.018), body.material)
    if not ears:
        return Product("vase", name, (body,))
    handles = carved(mirrored(tube(stroke(spline(ears)), 0.045), "x"), filled)
    return Product("vase", name, (body, Part(handles, Material(finish, (colors[0],)))))


def vases() -> list[Product]:
    """A slender vase in two patterns, and three of other shapes."""
    ears = [(0.18, 1.42), (0.42, 1.46), (0.54, 1.25), (0.42, 0.92)]
    hoops = over(band(0.35, 0.5), band(0.75, 0.95), band(1.3, 1.4))
    return [
        _vase("vase-slender-zigzag", SLENDER_VASE, MATT_CERAMIC, (WHITE, TEAL), zigzag(1 / 6, 0.36, 0.16)),
        _vase("vase-slender-checks", SLENDER_VASE, MATT_CERAMIC, (WHITE, TEAL), checks(1 / 10, 0.22)),
        _vase("vase-gourd-stripes", GOURD_VASE, CERAMIC, (MUSTARD, WHITE), stripes(1 / 10, 0.4, upright=True)),
        _vase("vase-amphora-bands", AMPHORA, MATT_CERAMIC, (TERRACOTTA, CHARCOAL), hoops, ears),
        _vase("vase-beaker-ribs", BEAKER_VASE, CERAMIC, (BLUSH,), plain, ribs=16),
    ]
