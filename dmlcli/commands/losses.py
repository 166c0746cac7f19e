"""dmlcli losses: list the losses."""

from typing import TYPE_CHECKING

from dmlcli import options

if TYPE_CHECKING:
    from pathlib import Path

    from dmlcli.learn.losses import LossInfo
    from dmlcli.learn.losses.miners import MinerInfo
    from dmlcli.report.losses import LossesReport, LossRow, LossSetting, MinerRow


def losses(name: options.LossName = None, *, plot: options.LossPlot = None) -> "LossesReport":
    """List the losses, or show one in detail.

    Examples:

        dmlcli losses

        dmlcli losses proxy-anchor

        dmlcli losses triplet:margin=0.5 --plot triplet.svg
    """
    from dmlcli.learn import losses as known
    from dmlcli.report.losses import LossesReport

    if name and ":" in name:
        known.parse(name)
    found = [known.describe(one) for one in ([name.partition(":")[0]] if name else known.names())]
    if plot is not None:
        _draw(name, plot)
    miners = known.miners.names() if any(info.takes_miners for info in found) else []
    return LossesReport(
        tuple(_row(info) for info in found), tuple(_miner_row(known.miners.describe(miner)) for miner in miners)
    )


def _draw(spec: str | None, target: "Path") -> None:
    """Write the plot of the loss `spec`."""
    from dmlcli import storage
    from dmlcli.errors import UsageError
    from dmlcli.learn import losses as known
    from dmlcli.pages.loss_plot import loss_plot

    if spec is None:
        raise UsageError("--plot needs the name of a loss", hint=f"dmlcli losses proxy-anchor --plot {target}")
    if target.suffix.lower() != ".svg":
        raise UsageError(f"invalid value for --plot: {target}: the file must end in .svg", hint=f"{target.stem}.svg")
    storage.check_writable(target, new_folders=False)
    from dmlcli.learn.losses import curves  # torch starts here

    cosines = [place / 50 for place in range(-49, 50)]
    try:
        loss = known.build(spec, curves.LABELS, curves.DIM).eval()
        found = {"positive": curves.curve(loss, cosines, positive=True)}
        found["negative"] = curves.curve(loss, cosines, positive=False)
    except ValueError as error:
        raise UsageError(f"loss {spec} cannot be drawn: {error}", hint="dmlcli losses") from error
    values = {kind: one.values for kind, one in found.items()}
    storage.write_text(target, loss_plot(spec, cosines, values, {kind: one.slopes for kind, one in found.items()}))


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
