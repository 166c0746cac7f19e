"""dmlcli losses: list the losses."""

from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmlcli.learn.losses import LossInfo
    from dmlcli.learn.losses.miners import MinerInfo
    from dmlcli.report.losses import LossCurve, LossesReport, LossRow, LossSetting, MinerRow

_TERMINAL = Path("-")
_SUFFIXES = (".svg", ".png")


def losses(name: options.LossName = None, *, plot: options.LossPlot = None) -> "LossesReport":
    """List the losses, or show one in detail.

    Examples:

        dmlcli losses

        dmlcli losses proxy-anchor

        dmlcli losses triplet:margin=0.5 --plot -
    """
    from dmlcli.learn import losses as known
    from dmlcli.report.losses import LossesReport

    if name and ":" in name:
        known.parse(name)
    found = [known.describe(one) for one in ([name.partition(":")[0]] if name else known.names())]
    target = None if plot is None else Path(plot)
    drawn = _curves(name, target) if target is not None else ()
    if target is not None and target != _TERMINAL:
        _write(name or "", drawn, target)
    miners = known.miners.names() if any(info.takes_miners for info in found) else []
    return LossesReport(
        tuple(_row(info) for info in found),
        tuple(_miner_row(known.miners.describe(miner)) for miner in miners),
        drawn if target == _TERMINAL else (),
    )


def _curves(spec: str | None, target: "Path") -> "tuple[LossCurve, ...]":
    """Return what the plot of the loss `spec` shows, for a file that can be written."""
    from dmlcli import storage
    from dmlcli.errors import UsageError
    from dmlcli.report.losses import LossCurve

    if spec is None:
        raise UsageError("--plot needs the name of a loss", hint=f"dmlcli losses proxy-anchor --plot {target}")
    if target != _TERMINAL:
        if target.suffix.lower() not in _SUFFIXES:
            raise UsageError(
                f"invalid value for --plot: {target}: the file must end in {' or '.join(_SUFFIXES)}",
                hint=f"{target.stem}.svg, or - for the terminal",
            )
        storage.check_writable(target, new_folders=False)
    from dmlcli.learn.losses import curves  # torch starts here

    try:
        found = curves.curves(spec)
    except ValueError as error:
        raise UsageError(f"loss {spec} cannot be drawn: {error}", hint="dmlcli losses") from error
    cosines = tuple(curves.COSINES)
    return tuple(LossCurve(kind, cosines, tuple(one.values), tuple(one.slopes)) for kind, one in found.items())


def _write(spec: str, drawn: "Sequence[LossCurve]", target: "Path") -> None:
    from dmlcli import storage
    from dmlcli.pages.loss_plot import loss_plot

    values, slopes = {one.pair: one.values for one in drawn}, {one.pair: one.slopes for one in drawn}
    plot = loss_plot(spec, drawn[0].cosines, values, slopes)
    if target.suffix.lower() == ".svg":
        storage.write_text(target, plot.svg())
        return
    with storage.new_file(target) as draft:
        plot.image().save(draft, format="PNG")


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
