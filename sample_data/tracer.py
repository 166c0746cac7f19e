"""The renderer: a camera, a light rig, and ray marching through a product's distance function.

A picture is the product on the plane y = 0, in front of a backdrop. Rays are vectorized over pixels; only those that
meet the product's bounding box are marched, and each drops out as soon as it hits or leaves.
Colors are linear light until `develop`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from materials import Finish, Mask
from product import Product
from shapes import Array

MARCH_STEPS = 80
SHADOW_STEPS = 28
HIT_DISTANCE = 0.002
NORMAL_STEP = 0.008
FARTHEST_WALL = 40
SAFE_FRAME = 0.94
"""Share of the frame that products are kept within."""
EXPOSURE = 1.75

Texture = Callable[[Array, Array], Array]
"""From two plane coordinates to (3, N) linear colors."""


def _unit(vectors: Array) -> Array:
    lengths: Array = np.maximum(np.sqrt((vectors * vectors).sum(axis=0)), 1e-9)
    return vectors / lengths


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; `basis` holds its right, up and forward directions as columns."""

    eye: Array
    basis: Array
    half_view: float
    """Tangent of half the angle of view."""
    shift: tuple[float, float]
    """Where the optical axis lands in the picture, which spans -1 to 1."""

    def rays(self, size: int) -> Array:
        """(3, size * size) unit directions, row by row from the top left."""
        across = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
        x, y = np.meshgrid(across - self.shift[0], -across - self.shift[1])
        flat = np.stack([x.ravel() * self.half_view, y.ravel() * self.half_view, np.ones(size * size, np.float32)])
        return _unit(self.basis @ flat)


@dataclass(frozen=True)
class View:
    """Where a photo is taken from, and how the product sits in it."""

    yaw: float
    elevation: float
    roll: float
    """All three in degrees."""
    fill: float
    """Share of the frame that the product's longer side takes."""
    drift: tuple[float, float]
    """Off-center placement, from -1 to 1 of the room that is left."""
    half_view: float


def aim(view: View, product: Product) -> Camera:
    """The camera that frames `product` as `view` asks."""
    yaw, elevation, roll = np.radians([view.yaw, view.elevation, view.roll])
    towards = np.array([np.sin(yaw) * np.cos(elevation), np.sin(elevation), np.cos(yaw) * np.cos(elevation)])
    level = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    upright = np.cross(towards, level)
    right = np.cos(roll) * level + np.sin(roll) * upright
    up = np.cos(roll) * upright - np.sin(roll) * level
    basis = np.stack([right, up, -towards], axis=1).astype(np.float32)
    low, high = product.bounds
    center = (low + high) / 2
    away = basis.T @ (product.surface_points - center)
    distance = 4.0
    for _ in range(8):
        seen = away[:2] / ((away[2] + distance) * view.half_view)
        distance *= float(np.ptp(seen, axis=1).max()) / (2 * view.fill)
    seen = away[:2] / ((away[2] + distance) * view.half_view)
    middle = (seen.max(axis=1) + seen.min(axis=1)) / 2
    room = SAFE_FRAME - np.ptp(seen, axis=1) / 2
    shift = room * np.array(view.drift) - middle
    eye = (center - basis[:, 2:] * distance).astype(np.float32)
    return Camera(eye, basis, view.half_view, (float(shift[0]), float(shift[1])))


@dataclass(frozen=True)
class Lights:
    """A key light, light from all around, and the soft boxes that shiny surfaces mirror."""

    key_direction: Array
    """(3,) unit vector towards the light."""
    key: Array
    sky: Array
    ground: Array
    """(3,) linear colors of the key light and of the light from above and below."""
    hardness: float
    """Sharpness of shadow edges: about 4 for a soft box, 20 for a bare bulb."""
    box_directions: tuple[Array, ...]
    box_brightness: float

    @property
    def open_floor(self) -> Array:
        """(3,) light that falls on a floor with nothing on it."""
        light: Array = self.key * self.key_direction[1] + self.sky
        return light

    def surroundings(self, directions: Array, gloss: float) -> Array:
        """(3, N) light arriving from `directions`, as blurred as `gloss` is low."""
        up = np.clip(directions[1] * 0.75 + 0.45, 0, 1)
        light: Array = self.ground[:, None] * (1 - up) + self.sky[:, None] * up
        light *= 1 - 0.45 * np.exp(-((directions[1] * 5) ** 2))  # a dark horizon gives metal its contrast
        light *= 0.65 + 0.35 * (self.box_directions[0] @ directions)
        softness = 0.05 + 2.0 / gloss
        for box in self.box_directions:
            edge = np.clip((box @ directions - (0.86 - softness)) / (2 * softness), 0, 1)
            light += self.key[:, None] * (self.box_brightness * edge * edge * (3 - 2 * edge))
        return light


@dataclass(frozen=True)
class Backdrop:
    """A floor, and a wall behind the product that faces the camera or nearly so."""

    floor: Texture
    wall: Texture
    wall_distance: float
    wall_yaw: float
    """Degrees the wall is turned away from the camera."""
    floor_yaw: float
    seamless: bool
    """A studio's paper sweep: the floor runs over into the wall."""


@dataclass(frozen=True)
class Scene:
    """All that one picture shows."""

    product: Product
    lights: Lights
    backdrop: Backdrop


def _box_entry(product: Product, origins: Array, directions: Array, grow: float = 0.0) -> tuple[Array, Array]:
    """Distances along each ray to where it enters and leaves the product's box; enter > leave is a miss."""
    low, high = product.bounds
    inverse = 1 / np.where(np.abs(directions) < 1e-6, 1e-6, directions)
    first, second = (low - grow - origins) * inverse, (high + grow - origins) * inverse
    return np.minimum(first, second).max(axis=0), np.maximum(first, second).min(axis=0)


def march(product: Product, eye: Array, directions: Array) -> Array:
    """Distance along each ray to the product, infinite where it misses."""
    enter, leave = _box_entry(product, eye, directions)
    hits = np.full(directions.shape[1], np.inf, dtype=np.float32)
    active = np.flatnonzero((enter < leave) & (leave > 0))
    travelled = np.maximum(enter[active], 0)
    for _ in range(MARCH_STEPS):
        distance = product.distance(eye + directions[:, active] * travelled)
        arrived = distance < HIT_DISTANCE
        hits[active[arrived]] = travelled[arrived]
        travelled = travelled + distance * 0.92
        going = ~arrived & (travelled < leave[active])
        active, travelled = active[going], travelled[going]
        if active.size == 0:
            break
    return hits


def normals_at(product: Product, p: Array) -> Array:
    """(3, N) outward unit normals, from distances at a tetrahedron's corners."""
    total = np.zeros_like(p)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        step = np.array(corner, dtype=np.float32)[:, None]
        total += step * product.distance(p + step * NORMAL_STEP)
    return _unit(total)


def key_visibility(scene: Scene, p: Array) -> Array:
    """Share of the key light that reaches each point past the product."""
    product, lights = scene.product, scene.lights
    towards = lights.key_direction[:, None]
    enter, leave = _box_entry(product, p, towards, grow=0.1)
    visible = np.ones(p.shape[1], dtype=np.float32)
    active = np.flatnonzero((enter < leave) & (leave > 0))
    travelled = np.maximum(enter[active], 0.03)
    for _ in range(SHADOW_STEPS):
        distance = product.distance(p[:, active] + towards * travelled)
        opening = np.clip(lights.hardness * distance / travelled, 0, 1)
        visible[active] = np.minimum(visible[active], opening)
        travelled = travelled + np.clip(distance, 0.025, 0.3)
        going = (opening > 0.01) & (travelled < leave[active])
        active, travelled = active[going], travelled[going]
        if active.size == 0:
            break
    return visible * visible * (3 - 2 * visible)


def openness(product: Product, p: Array, normals: Array, reach: float) -> Array:
    """Ambient occlusion: 1 in the open, towards 0 in creases and where the product meets the floor."""
    closed = np.zeros(p.shape[1], dtype=np.float32)
    for step, weight in ((0.12, 0.9), (0.3, 0.6), (0.6, 0.4), (1.0, 0.3)):
        height = step * reach
        probe = p + normals * height
        nearest = np.minimum(product.distance(probe), np.maximum(probe[1], 0))
        closed += weight * np.clip(1 - nearest / height, 0, 1)
    share: Array = np.clip(1 - 0.55 * closed, 0.08, 1)
    return share


def _shade_product(scene: Scene, p: Array, directions: Array) -> Array:
    lights, product = scene.lights, scene.product
    normals = normals_at(product, p)
    lit = key_visibility(scene, p + normals * 0.015) * np.clip(lights.key_direction @ normals, 0, 1)
    exposed = openness(product, p, normals, reach=0.35)
    colors = np.zeros_like(p)
    part_index = product.part_at(p)
    for index, part in enumerate(product.parts):
        mine = np.flatnonzero(part_index == index)
        if mine.size:
            albedo = part.material.albedo(p[:, mine])
            colors[:, mine] = _surface_light(
                lights, part.material.finish, albedo, normals[:, mine], directions[:, mine], lit[mine], exposed[mine]
            )
    return colors


def _surface_light(
    lights: Lights, finish: Finish, albedo: Array, normals: Array, directions: Array, lit: Array, exposed: Array
) -> Array:
    """(3, N) light that leaves a surface towards the camera."""
    up = normals[1] * 0.5 + 0.5
    ambient = (lights.ground[:, None] * (1 - up) + lights.sky[:, None] * up) * exposed
    direct = lights.key[:, None] * lit
    facing = np.clip(-(normals * directions).sum(axis=0), 0, 1)
    mirrored = directions + 2 * facing * normals
    grazing = (1 - facing) ** 5 * min(1.0, finish.gloss / 60)
    fresnel = finish.reflectance + (1 - finish.reflectance) * grazing * 0.6
    halfway = lights.key_direction[:, None] - directions
    sparkle = np.clip((normals * _unit(halfway)).sum(axis=0), 0, 1) ** finish.gloss * (finish.gloss + 8) / 30
    mirror: Array = lights.surroundings(mirrored, finish.gloss) * (0.3 + 0.7 * exposed) + direct * sparkle
    scattered = ambient + direct
    leaving: Array
    if finish.metallic:
        leaving = albedo * (0.25 * scattered + fresnel * mirror)
    else:
        leaving = albedo * (scattered * (1 - fresnel) + finish.glow) + fresnel * mirror
    return leaving


def _floor_light(scene: Scene, p: Array) -> Array:
    """(3, N) light that falls on the floor, less what the product takes away."""
    lights, product = scene.lights, scene.product
    low, high = product.bounds
    light: Array = np.repeat((lights.key * lights.key_direction[1])[:, None], p.shape[1], axis=1)
    light *= key_visibility(scene, p + np.array([[0.0], [0.004], [0.0]], dtype=np.float32))
    exposed = np.ones(p.shape[1], dtype=np.float32)
    near = ((p[::2] > low[::2] - 0.5) & (p[::2] < high[::2] + 0.5)).all(axis=0)
    upwards = np.repeat(np.array([[0.0], [1.0], [0.0]], dtype=np.float32), int(near.sum()), axis=1)
    exposed[near] = openness(product, p[:, near], upwards, reach=0.5)
    return light + lights.sky[:, None] * exposed


def _turn(p: Array, degrees: float) -> tuple[Array, Array]:
    cosine, sine = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
    return cosine * p[0] - sine * p[2], sine * p[0] + cosine * p[2]


def _shade_backdrop(scene: Scene, camera: Camera, directions: Array) -> Array:
    """The empty set: floor and wall, with the product's shadow."""
    towards_camera = -camera.basis[:, 2]
    heading = float(np.degrees(np.arctan2(towards_camera[0], towards_camera[2]))) + scene.backdrop.wall_yaw
    eye_across, eye_deep = _turn(camera.eye, heading)
    across, deep = _turn(directions, heading)
    to_floor = np.where(directions[1] < -1e-4, -camera.eye[1] / np.minimum(directions[1], -1e-4), np.inf)
    to_wall = np.where(deep < -1e-4, (-scene.backdrop.wall_distance - eye_deep) / np.minimum(deep, -1e-4), np.inf)
    on_floor = to_floor < to_wall
    at_wall = np.minimum(to_wall, FARTHEST_WALL)[~on_floor]
    height = camera.eye[1] + directions[1, ~on_floor] * at_wall
    colors = np.empty_like(directions)
    colors[:, ~on_floor] = _shade_wall(scene, eye_across + across[~on_floor] * at_wall, height)
    colors[:, on_floor] = _shade_floor(scene, camera.eye + directions[:, on_floor] * to_floor[on_floor])
    return colors


def _shade_wall(scene: Scene, across: Array, height: Array) -> Array:
    wall = scene.backdrop.wall(across, height) * scene.lights.open_floor[:, None]
    # At home the light fades towards the ceiling; a studio's paper has its own falloff.
    return wall if scene.backdrop.seamless else wall * (0.7 + 0.25 * np.exp(-np.maximum(height, 0) / 4))


def _shade_floor(scene: Scene, p: Array) -> Array:
    backdrop = scene.backdrop
    floor = backdrop.floor(*_turn(p, backdrop.floor_yaw)) * _floor_light(scene, p)
    if not backdrop.seamless:
        return floor
    # The sweep loses the floor's own shading on the way to the wall.
    far = np.clip((np.hypot(p[0], p[2]) - 1.5) / 4, 0, 1)
    wall_foot = backdrop.wall(p[0], np.zeros_like(p[0])) * scene.lights.open_floor[:, None]
    swept: Array = floor * (1 - far) + wall_foot * far
    return swept


def expose(scene: Scene, camera: Camera, size: int, samples: int = 2) -> Array:
    """The picture in linear light, (size, size, 3), with `samples` squared rays to the pixel."""
    directions = camera.rays(size * samples)
    hits = march(scene.product, camera.eye, directions)
    on_product: Mask = np.isfinite(hits)
    colors = np.empty_like(directions)
    colors[:, ~on_product] = _shade_backdrop(scene, camera, directions[:, ~on_product])
    seen = directions[:, on_product]
    colors[:, on_product] = _shade_product(scene, camera.eye + seen * hits[on_product], seen)
    # Curved before averaging, or bright edges against dark ones stay jagged.
    fine = (1 - np.exp(-EXPOSURE * colors)).reshape(3, size, samples, size, samples)
    picture: Array = fine.mean(axis=(2, 4)).transpose(1, 2, 0)
    return picture


def develop(picture: Array) -> Array:
    """Linear light to sRGB, 0 to 255."""
    clipped = np.clip(picture, 0, 1)
    return 255 * np.where(clipped < 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
