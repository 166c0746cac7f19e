"""dmlcli backbones: list the backbones, time them, and download their weights."""

from dataclasses import replace
from typing import TYPE_CHECKING

from dmlcli import options
from dmlcli.errors import UsageError

if TYPE_CHECKING:
    from dmlcli.learn.backbone_table import Backbone
    from dmlcli.report.backbones import BackboneRow, BackbonesReport


def backbones(
    name: options.BackboneName = None, *, measure: options.Measure = False, fetch: options.Fetch = False
) -> "BackbonesReport":
    """List the backbones, with licence, published figures and whether their weights are here; or show one in detail.

    Published figures are Recall@1 of the frozen features. fast, balanced, best, fashion and packages are names by
    need: --backbone takes them, too, and the model records the backbone that they stand for.

    Examples:

        dmlcli backbones

        dmlcli backbones fashion --measure

        dmlcli backbones mobilenet_v3_large --fetch
    """
    from dmlcli.learn import backbone_table
    from dmlcli.report.backbones import BackbonesReport

    if fetch and name is None:
        raise UsageError("--fetch needs the name of a backbone", hint="dmlcli backbones NAME --fetch")
    chosen = (backbone_table.by_name(name),) if name else backbone_table.table()
    digest, times, measured = "", {}, ""
    if fetch:
        from dmlcli.learn.networks.weights_fetch import fetch_weights  # torch starts here

        digest = fetch_weights(chosen[0])
    if measure:
        from dmlcli.learn.networks import timing  # torch starts here

        times, measured = timing.milliseconds(chosen), timing.HOW
    rows = [replace(_row(row), milliseconds=times.get(row.name), sha256=digest) for row in chosen]
    return BackbonesReport(tuple(rows), measured)


def _row(backbone: "Backbone") -> "BackboneRow":
    from dmlcli.learn import backbone_table
    from dmlcli.report.backbones import BackboneRow

    return BackboneRow(
        name=backbone.name,
        needs=backbone.needs,
        parameters_millions=backbone.parameters,
        pixels=backbone.pixels,
        dim=backbone.dim,
        licence=backbone.licence.name,
        condition=backbone.licence.condition,
        sop=backbone.published.sop,
        inshop=backbone.published.inshop,
        source=backbone.published.source,
        here=backbone_table.is_here(backbone),
        file=str(backbone_table.weights_file(backbone) or ""),
        get=backbone_table.how_to_get(backbone),
    )
