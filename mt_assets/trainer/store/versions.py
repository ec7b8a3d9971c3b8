"""What the store writes down about assets, trainings, versions of the model and the champion."""

from mt_assets.trainer.store.record import Record

AWAITING = "awaiting_approval"
"""Verdict of a version that becomes the champion when a person agrees."""


class AssetVersion(Record):
    """One version of one asset.

    Attributes
    ----------
    asset : str
    address : str
        Where its value lies among the objects.
    phase : str
        Name of the phase that made it, perhaps with others.
    run_id : str
        The run that made it.
    created : str
        UTC, ISO 8601.
    seconds : float
        Wall time that making it took.
    made_from : dict
        Address of every asset upstream of it, direct or not.
    doubts : tuple of str
        What the checks said that failed without stopping the phase.
    """

    asset: str
    address: str
    phase: str
    run_id: str
    created: str
    seconds: float
    made_from: dict[str, str]
    doubts: tuple[str, ...] = ()


class Training(Record):
    """One training from data to verdict, as it lies in the store.

    Attributes
    ----------
    number : int
        Of the model version that came of it.
    run_id : str
        The run that trained.
    ended : str
        When the model was judged: UTC, ISO 8601.
    seconds : dict
        Wall time of each phase.
    addresses : dict
        Address of every asset of the training that is there.
    doubts : tuple of str
        What the checks said that failed without stopping the training.
    """

    number: int
    run_id: str
    ended: str
    seconds: dict[str, float]
    addresses: dict[str, str]
    doubts: tuple[str, ...] = ()


class Approval(Record):
    """What a person said of a version.

    Attributes
    ----------
    granted : bool
        Whether it was made, or may be, the champion.
    by, comment : str
    at : str
        UTC, ISO 8601.
    """

    granted: bool
    by: str
    comment: str = ""
    at: str


class ModelVersion(Record):
    """One trained model that was judged.

    Attributes
    ----------
    number : int
        Counts from 1.
    run_id : str
    created : str
        UTC, ISO 8601.
    addresses : dict
        Address of the model and of every asset upstream of its verdict.
    algorithm : str
    metric : str
    score : float or None
        The plan's metric on the test rows.
    verdict : str
        Of the training itself, see `promotion.Verdict`; empty until it is known.
    missed_gates : tuple of str
        Why each quality gate that it missed was missed.
    compared_with : int or None
        The champion that it was compared with; None where there was none.
    approval : Approval or None
        The last that a person said of it.
    recipe : str
        Address of what it can be made again by, see `trainer.recipe`; empty where an earlier release trained it.
    collected : str
        When its objects were removed, as it was no longer to be kept: UTC, ISO 8601; empty while they are there.
    """

    number: int
    run_id: str
    created: str
    addresses: dict[str, str]
    algorithm: str = ""
    metric: str
    score: float | None
    verdict: str = ""
    missed_gates: tuple[str, ...] = ()
    compared_with: int | None = None
    approval: Approval | None = None
    recipe: str = ""
    collected: str = ""


class Champion(Record):
    """Which version serves, and which one served before."""

    number: int
    previous: int | None
    since: str
