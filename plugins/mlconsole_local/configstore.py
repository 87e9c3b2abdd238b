"""The config role: files that applications poll. `sample_workspace/client/configclient.py` reads them, docs/roles.md tells how."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mlconsole.core.documents import MOST_BYTES, WHOLE, Document, LiveDocument, config_target, digest_of
from mlconsole.core.live import Transition, document_differences
from mlconsole.core.steps import Phase, Step
from mlconsole.core.text import is_name
from mlconsole.core.traffic import percent
from mlconsole.plugin import Context
from mlconsole.plugin.errors import Conflict, InvalidRequest, Refused, Unavailable
from mlconsole.plugin.roles import ConfigLimits, DocumentReport, Order, StoredVersion
from mlconsole_local.configfiles import About, DocumentFiles, Manifest, manifest_of, missing
from mlconsole_local.state import Layout, check_fence, locked

POLL = 2.0
"""Seconds after which every client has looked: ours looks once a second."""


class LocalConfigStore:
    """Documents as files below the environment's folder. See `plugin.roles.ConfigStore`.

    Publishing is one file moved in place, so that nothing is ever under way here: what is seen is *settled*, or damaged. Each document is
    locked and fenced by itself.
    """

    def __init__(self, context: Context) -> None:
        self._layout = Layout(context.state)
        self._clock = context.clock
        self._limits = ConfigLimits(
            growth=True, share_granularity=1, most_bytes=MOST_BYTES, poll_lag=float(context.options.get("config_poll", POLL))
        )

    def limits(self) -> ConfigLimits:
        """Shares of the clients to a hundredth of a percent."""
        return self._limits

    def list(self) -> Sequence[str]:
        """Documents that have a version."""
        try:
            folders = sorted(self._layout.config.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(f"{self._layout.config} can't be read: {error.strerror}.") from error
        return [folder.name for folder in folders if is_name(folder.name) and DocumentFiles(folder).numbers()]

    def scope(self, document: str) -> str:
        """Each document by itself; never an endpoint's name."""
        return config_target(document)

    def report(self, document: str) -> DocumentReport:
        """What the manifest says. A version whose bytes are damaged has no digest, so that it equals nothing wanted."""
        files = self._files(document)
        try:
            manifest = files.manifest()
        except Unavailable as error:
            return DocumentReport(
                LiveDocument(document, latest=_latest(files, None)), Transition.FAILED, _keep_what_they_have(error.message)
            )
        latest = _latest(files, manifest)
        if manifest is None:
            return DocumentReport(LiveDocument(document, latest=latest))
        wrong = files.sound(manifest.version, manifest.digest)
        before_wrong = "" if manifest.before is None else files.sound(manifest.before, manifest.before_digest)
        live = LiveDocument(
            document,
            manifest.version,
            "" if wrong else manifest.digest,
            manifest.share,
            manifest.before,
            "" if before_wrong else manifest.before_digest,
            latest,
            f"publication {manifest.publication}",
        )
        reason = "; ".join(text for text in (wrong, before_wrong) if text)
        if reason:
            return DocumentReport(live, Transition.FAILED, _keep_what_they_have(reason))
        return DocumentReport(live)

    def versions(self, document: str, limit: int = 100) -> Sequence[StoredVersion]:
        """The newest versions; one whose record is damaged is listed as that."""
        files = self._files(document)
        newest = files.numbers()[::-1][: max(0, limit)]
        return [_stored(files, number) for number in newest]

    def read(self, document: str, number: int) -> bytes:
        """A version's bytes; compared with their digest, so that damaged ones are an error and never a configuration."""
        files = self._files(document)
        about = files.about(number)
        if about is None:
            raise missing(document, number)
        return files.body(about)

    def steps(self, live: LiveDocument, target: Document) -> Sequence[Step]:
        """One step at most: the manifest is replaced as a whole."""
        _check(target)
        if not document_differences(live, target):
            return []
        return [Step("config", "publish", _told(live, target), Phase.SHIFT, document=target, seconds=0.1)]

    def start(self, document: str, step: Step, order: Order) -> None:
        """Add the version where it is not there yet, then move the manifest in place."""
        wanted = step.document
        if wanted is None or wanted.name != document:
            raise InvalidRequest(f"A step that publishes {wanted.name if wanted else 'nothing'} was given for config {document}.")
        _check(wanted)
        files = self._files(document)
        with locked(files.folder):
            check_fence(files.folder, self.scope(document), order.fence)
            files.sweep()
            now = self._clock.now()
            former, publication = _former(files, now)
            latest = _latest(files, former)
            # What the others read has to be there, too, before anything is added: a refused order leaves no trace.
            before = None if wanted.share == WHOLE or wanted.before is None else self._there(files, wanted.before, wanted, order, latest)
            about = self._there(files, wanted.version, wanted, order, latest)
            manifest = manifest_of(
                document,
                about,
                before,
                wanted.share,
                publication=publication,
                # The same clients as before go on reading a version whose share grows.
                seed=former.seed if former is not None and former.version == about.number else publication,
                since=now,
                fence=order.fence,
                release=order.release,
            )
            if former is None or not former.says(manifest):
                files.publish(manifest)

    def _files(self, document: str) -> DocumentFiles:
        return DocumentFiles(self._layout.document(document))

    def _there(self, files: DocumentFiles, number: int, wanted: Document, order: Order, latest: int) -> About:
        """The version of that number, added if it is the next one, put right if its bytes were lost.

        Raises:
            Conflict: that number has other bytes, or it is not the next one (the optimistic lock).
            Refused: the bytes were not given, or are none that could be published.
        """
        digest = wanted.digest if number == wanted.version else wanted.before_digest
        about = files.about(number)
        if about is not None and about.digest != digest:
            raise Conflict(
                f"Version {number} of config {wanted.name} is there already, with other bytes. Nothing was changed.",
                next="Look what changed, and publish on top of it.",
            )
        if about is not None and not files.sound(number, digest):
            return about
        if about is None and number != wanted.version:
            raise Refused(f"There is no version {number} of config {wanted.name} that the other clients could read. Nothing was changed.")
        if about is None and number != latest + 1:
            raise Conflict(
                f"The next version of config {wanted.name} is {latest + 1}, not {number}. Nothing was changed.",
                next="Look what changed, and publish on top of it.",
            )
        return files.keep(number, _given(order, digest, wanted.name, number), self._clock.now(), order.release)


def _check(target: Document) -> None:
    """Refuse what can't be published, whatever is live.

    Raises:
        Refused: it can't.
    """
    if not is_name(target.name):
        raise Refused(f"{target.name!r} can't name a config document: letters, digits, dot, dash and underscore are wanted.")
    if target.version < 1:
        raise Refused(f"Versions are numbered from 1, not from {target.version}.")
    if not 0 <= target.share <= WHOLE:
        raise Refused(f"{percent(target.share)} % is no share of the clients.")
    if target.share < WHOLE and (target.before is None or target.before == target.version):
        raise Refused(
            f"Version {target.version} of config {target.name} can't go to {percent(target.share)} % of the clients: "
            "the others would have nothing to read.",
            next="Publish the first version to all of them.",
        )


def _given(order: Order, digest: str, document: str, number: int) -> bytes:
    body = order.documents.get(digest)
    what = f"Version {number} of config {document}"
    if body is None:
        raise Refused(f"{what} is not here, or damaged, and its bytes were not given. Nothing was changed.")
    if digest_of(body) != digest:
        raise Refused(f"{what} was given with other bytes than {digest[:19]}…. Nothing was changed.")
    if not body:
        raise Refused(f"{what} is empty: no client would take it for a configuration. Nothing was changed.")
    if len(body) > MOST_BYTES:
        raise Refused(f"{what} has {len(body):,} bytes; at most {MOST_BYTES:,} are taken. Nothing was changed.".replace(",", " "))
    return body


def _latest(files: DocumentFiles, manifest: Manifest | None) -> int:
    """The highest number that was ever given out, as far as can be seen."""
    return max([*files.numbers()[-1:], manifest.version if manifest is not None else 0], default=0)


def _former(files: DocumentFiles, now: datetime) -> tuple[Manifest | None, int]:
    """What was published so far, and the number of the publication that comes next."""
    try:
        manifest = files.manifest()
    except Unavailable:
        manifest = None
    if manifest is not None:
        return manifest, manifest.publication + 1
    # Where the manifest was lost nobody knows how far it had come: milliseconds since 1970 are further, so that numbers never go back.
    return None, 1 if files.numbers() in ([], [1]) else int(now.timestamp() * 1000)


def _stored(files: DocumentFiles, number: int) -> StoredVersion:
    try:
        about = files.about(number)
        if about is None:
            return StoredVersion(number, "", 0, note="gone just now")
        return StoredVersion(number, about.digest, about.size, datetime.fromisoformat(about.created), about.release)
    except (Unavailable, ValueError) as error:
        return StoredVersion(number, "", 0, note=str(error))


def _keep_what_they_have(reason: str) -> str:
    return f"{reason.rstrip('.')}: clients keep what they have read before"


def _told(live: LiveDocument, target: Document) -> str:
    verb = "publish again" if target.version <= live.latest else "publish"
    text = f"{verb} {target.name} {target.version}"
    if target.share == WHOLE:
        return f"{text} to all clients"
    return f"{text} to {percent(target.share)} % of the clients, {target.before} to the others"
