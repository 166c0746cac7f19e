"""dmlcli losses: list the losses."""

from typing import TYPE_CHECKING

from dmlcli import options

if TYPE_CHECKING:
    from dmlcli.learn.losses import LossInfo
    from dmlcli.report.losses import LossesReport, LossRow


def losses(name: options.LossName = None) -> "LossesReport":
    """List the losses, or show one in detail.

    Examples:

        dmlcli losses

        dmlcli losses proxy-anchor
    """
    from dmlcli.learn import losses as known
    from dmlcli.report.losses import LossesReport

    return LossesReport(tuple(_row(known.describe(known_name)) for known_name in ([name] if name else known.names())))


def _row(info: "LossInfo") -> "LossRow":
    from dmlcli.report.losses import LossRow, LossSetting

    return LossRow(
        name=info.name,
        family=info.family,
        sampler=info.sampler,
        takes_references=info.takes_references,
        learning_rate_factor=info.learning_rate_factor,
        summary=info.summary,
        formula=info.formula,
        use=info.use,
        published=info.published,
        source=info.source,
        settings=tuple(LossSetting(s.name, s.kinds, s.default, s.meaning) for s in info.settings),
        parameters={parameter.name: parameter.shape for parameter in info.parameters},
    )
