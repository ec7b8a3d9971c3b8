"""The versions of models by hand: what there is, which one serves, and changing that.

What belongs here: what `mt-assets models`, `promote`, `approve`, `reject` and `rollback` and the jobs of the same names
do. What does not: how a training decides by itself whether its model takes over (`trainer.promotion`), and how the
registry is talked to (`resources.tracking`).
"""

import difflib
import getpass
from dataclasses import dataclass

from mt_assets.resources.recording import tell_champion
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec, slug
from mt_assets.spec_folder import find_specs, read_specs, specs_place
from mt_assets.trainer.errors import SpecError, StoreError
from mt_assets.trainer.load_check import check_libraries
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.store.home import home_folder
from mt_assets.trainer.store.model_store import GONE_HELP, ModelStore, gone, now
from mt_assets.trainer.store.versions import AWAITING, Approval, ModelVersion


@dataclass(frozen=True)
class VersionRow:
    """One version of a model, as a person looks at it.

    Attributes
    ----------
    model : str
    number : int
    role : {"champion", "previous", ""}
    algorithm : str
    metric : str
    score : float or None
        The metric on the test rows.
    trained : str
        UTC, ISO 8601.
    verdict : str
        Of the training itself, or a person's.
    """

    model: str
    number: int
    role: str
    algorithm: str
    metric: str
    score: float | None
    trained: str
    verdict: str


@dataclass(frozen=True)
class Change:
    """A champion that was put in its place by hand.

    Attributes
    ----------
    model : str
    champion : int
    before : int or None
    registry : str
        What became of the alias in the registry, in one sentence.
    """

    model: str
    champion: int
    before: int | None
    registry: str


@dataclass(frozen=True)
class Model:
    """A trained model, and the registry that is told who serves.

    Attributes
    ----------
    store : ModelStore
    tracking : MlflowTracking
    spec : TrainingSpec or None
        The model's spec where it is at hand; it says which registry the model is in.
    """

    store: ModelStore
    tracking: MlflowTracking
    spec: TrainingSpec | None

    @property
    def name(self) -> str:
        return self.store.name


@dataclass(frozen=True)
class Signature:
    """Who decides, and why.

    Attributes
    ----------
    by : str
        By default the user of the operating system.
    comment : str
    """

    by: str = ""
    comment: str = ""

    def approval(self, *, granted: bool) -> Approval:
        return Approval(granted=granted, by=self.by or _user(), comment=self.comment, at=now())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user of a container has a number and may have no name
        return "unknown"


def named(name: str) -> Model:
    """The trained model of that name, with the tracker of this place.

    Raises
    ------
    SpecError
        No model of that name was trained.
    """
    store = model_store(name)
    return Model(store, MlflowTracking(), _spec_of(store.name))


def model_store(name: str) -> ModelStore:
    """The state of a trained model, by its name or anything that its name can be made of.

    Raises
    ------
    SpecError
        No model of that name was trained.
    """
    home, wanted = home_folder(), slug(name)
    store = ModelStore(home, wanted)
    if store.versions():
        return store
    known = [each for each in ModelStore.names(home) if ModelStore(home, each).versions()]
    near = difflib.get_close_matches(wanted, known, n=1)
    there = f"There are {', '.join(known)}." if known else f"Nothing has been trained below {home} yet."
    raise SpecError(
        f"There is no trained model named {name!r}. {there}",
        suggestions=(f"Did you mean {near[0]}?",) if near else ("Train one with `mt-assets train SPEC`.",),
    )


def list_versions(name: str | None = None) -> list[VersionRow]:
    """Every version of a model, newest first; without a name the champion of each model, or else its newest version.

    Raises
    ------
    SpecError
        No model of that name was trained.
    """
    if name is not None:
        store = model_store(name)
        return [_row(store, version) for version in reversed(store.versions())]
    rows = []
    for each in ModelStore.names(home_folder()):
        store = ModelStore(home_folder(), each)
        champion = store.champion()
        version = store.version(champion.number) if champion else next(reversed(store.versions()), None)
        if version:
            rows.append(_row(store, version))
    return rows


def _row(store: ModelStore, version: ModelVersion) -> VersionRow:
    champion = store.champion()
    roles = {champion.previous: "previous", champion.number: "champion"} if champion else {}
    return VersionRow(
        model=store.name,
        number=version.number,
        role=roles.get(version.number, ""),
        algorithm=version.algorithm,
        metric=version.metric,
        score=version.score,
        trained=version.created,
        verdict=_told(store, version),
    )


def _told(store: ModelStore, version: ModelVersion) -> str:
    """What became of a version, as a person reads it."""
    verdict = _verdict(store, version)
    return f"{verdict}, no longer kept" if version.collected else verdict


def _verdict(store: ModelStore, version: ModelVersion) -> str:
    if version.verdict != AWAITING:
        return version.verdict.replace("_", " ")
    if version.approval is not None:
        return f"{'approved' if version.approval.granted else 'rejected'} by {version.approval.by}"
    return "awaiting approval" if store.awaiting() == version else "superseded"


def version_model(store: ModelStore, version: ModelVersion) -> TrainedModel:
    """The model of a version, ready for use.

    Raises
    ------
    StoreError
        It is no longer kept, its files are gone, or it was saved by other libraries and does not work with these.
    """
    if version.collected:
        raise StoreError(gone(store.name, version), suggestions=GONE_HELP)
    model = store.get(version.addresses["trained_model"])
    assert isinstance(model, TrainedModel)
    check_libraries(model, f"Version {version.number} of {store.name}")
    return model


def chosen_version(store: ModelStore, number: int | None) -> ModelVersion:
    """The version of that number, by default the champion.

    Raises
    ------
    SpecError
        There is no such version, or no champion.
    """
    champion = store.champion()
    if number is None and champion is None:
        raise SpecError(
            f"{store.name} has no champion: no version has met its quality gates.",
            suggestions=("Name a version with --version.", f"`mt-assets models {store.name}` lists the versions."),
        )
    wanted = champion.number if number is None and champion else number
    known = {version.number: version for version in store.versions()}
    if wanted not in known:
        raise SpecError(
            f"{store.name} has no version {wanted}; it has {_numbers(list(known))}.",
            suggestions=(f"`mt-assets models {store.name}` lists the versions.",),
        )
    return known[wanted]


def _numbers(known: list[int]) -> str:
    return ", ".join(map(str, known)) if len(known) <= 20 else f"{known[0]} to {known[-1]}"


def promote(model: Model, number: int, said: Signature, *, despite_gates: bool = False) -> Change:
    """Make a version the champion by hand, in the store and in the registry.

    Raises
    ------
    SpecError
        There is no such version, it cannot be read, or it missed a gate.
    """
    version = chosen_version(model.store, number)
    if version.missed_gates and not despite_gates:
        raise SpecError(
            f"Version {number} of {model.name} missed a quality gate: {' '.join(version.missed_gates)}",
            suggestions=("Promote another version.", "Say --despite-gates if you want it all the same."),
        )
    champion = model.store.champion()
    return _crown(model, version, said, instead_of=champion.number if champion else None)


def rollback(model: Model, said: Signature) -> Change:
    """Put the champion before the present one back; doing it again undoes it.

    Raises
    ------
    SpecError
        There is no champion before the present one.
    """
    champion = model.store.champion()
    if champion is None or champion.previous is None:
        raise SpecError(
            f"{model.name} has had {'one champion' if champion else 'no champion'} so far, so there is none to go back "
            "to.",
            suggestions=(f"Promote a version by its number: `mt-assets promote {model.name} VERSION`.",),
        )
    return _crown(model, chosen_version(model.store, champion.previous), said, instead_of=champion.number)


def approve(model: Model, number: int | None, said: Signature) -> Change:
    """Make the version that waits for approval the champion, in place of the one that it was compared with.

    Parameters
    ----------
    model : Model
    number : int or None
        Of the version, to be sure that it is the one that was looked at.
    said : Signature

    Raises
    ------
    SpecError
        That version does not wait, or none does.
    """
    version = _waiting(model, number)
    return _crown(model, version, said, instead_of=version.compared_with)


def reject(model: Model, number: int, said: Signature) -> None:
    """Refuse the version that waits for approval; it stays a challenger.

    Raises
    ------
    SpecError
        That version does not wait.
    """
    model.store.note_approval(_waiting(model, number), said.approval(granted=False))


def _waiting(model: Model, number: int | None) -> ModelVersion:
    waiting = model.store.awaiting()
    if waiting is not None and number in (None, waiting.number):
        return waiting
    if number is None:
        message = f"No version of {model.name} waits for approval."
    else:
        other = f"; version {waiting.number} does" if waiting else ""
        message = (
            f"Version {chosen_version(model.store, number).number} of {model.name} does not wait for approval{other}."
        )
    raise SpecError(
        message,
        suggestions=(
            f"`mt-assets models {model.name}` shows what became of each version.",
            f"`mt-assets promote {model.name} VERSION` makes any version the champion.",
        ),
    )


def _crown(model: Model, version: ModelVersion, said: Signature, *, instead_of: int | None) -> Change:
    store = model.store
    version_model(store, version).model  # noqa: B018  # a model that is damaged or gone must not serve
    if not store.crown(version.number, instead_of=instead_of, approval=said.approval(granted=True)):
        raise StoreError(
            f"Another champion of {store.name} was named at this very moment.",
            suggestions=(f"Look at it with `mt-assets models {store.name}`, and try again if you still want to.",),
        )
    answer = tell_champion(store, model.tracking, model.spec)
    told = f"The alias `champion` of {answer.name} in the registry is now on version {answer.version}."
    return Change(
        model=store.name,
        champion=version.number,
        before=instead_of,
        registry=told if answer.status == "registered" else answer.reason,
    )


def _spec_of(name: str) -> TrainingSpec | None:
    """The model's spec among those of this place; it says which registry the model is in."""
    place = specs_place()
    if not place.exists():
        return None
    specs, _ = read_specs(find_specs(place))
    return next((spec for spec in specs if spec.name == name), None)
