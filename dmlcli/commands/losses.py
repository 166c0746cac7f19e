"""dmlcli losses: what `--loss` knows."""

from dmlcli import options
from dmlcli.report import LossesReport, LossRow


def losses(name: options.LossName = None) -> LossesReport:
    """List the losses, or tell one in full.

    Examples:

        dmlcli losses

        dmlcli losses proxy-anchor
    """
    from dmlcli.learn import losses as known

    rows = []
    for info in map(known.describe, [name] if name else known.names()):
        settings = {setting.name: setting.default for setting in info.settings}
        rows.append(LossRow(info.name, info.family, info.sampler, info.summary, settings, info.source))
    return LossesReport(tuple(rows))
