"""dmlcli losses: list the losses."""

from typing import TYPE_CHECKING

from dmlcli import options

if TYPE_CHECKING:
    from dmlcli.learn.losses import LossInfo
    from dmlcli.learn.losses.miners import MinerInfo
    from dmlcli.report.losses import LossesReport, LossRow, LossSetting, MinerRow


def losses(name: options.LossName = None) -> "LossesReport":
    """List the losses, or show one in detail.

    Examples:

        dmlcli losses

        dmlcli losses proxy-anchor
    """
    from dmlcli.learn import losses as known
    from dmlcli.report.losses import LossesReport

    found = [known.describe(known_name) for known_name in ([name] if name else known.names())]
    miners = known.miners.names() if any(info.takes_miners for info in found) else []
    return LossesReport(
        tuple(_row(info) for info in found), tuple(_miner_row(known.miners.describe(miner)) for miner in miners)
    )


def _row(info: "LossInfo") -> "LossRow":
    from dmlcli.report.losses import LossRow

    return LossRow(
        name=info.name,
        family=info.family,
        sampler=info.sampler,
        takes_references=info.takes_references,
        takes_miners=info.takes_miners,
        learning_rate_factor=info.learning_rate_factor,
        summary=info.summary,
        formula=info.formula,
        use=info.use,
        published=info.published,
        source=info.source,
        settings=_settings(info),
        parameters={parameter.name: parameter.shape for parameter in info.parameters},
    )


def _miner_row(info: "MinerInfo") -> "MinerRow":
    from dmlcli.report.losses import MinerRow

    return MinerRow(info.name, info.summary, info.rule, info.source, _settings(info))


def _settings(info: "LossInfo | MinerInfo") -> "tuple[LossSetting, ...]":
    from dmlcli.report.losses import LossSetting

    return tuple(LossSetting(s.name, s.kinds, s.default, s.meaning) for s in info.settings)
