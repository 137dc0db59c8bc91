"""Keeps exactly one healthy webhook: Pipedrive deletes failing ones, and people delete or double them."""

from dataclasses import dataclass

from common.log import get_logger
from pipedrive_sync.loops import Waker
from pipedrive_sync.pipedrive.client import NewWebhook, PipedriveClient, Webhook

log = get_logger()

_OBJECT = "person"
_VERSION = "2.0"
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where Pipedrive is to post, and with which credentials."""

    url: str
    user: str
    password: str


class SuperviseWebhook:
    def __init__(self, client: PipedriveClient, wanted: Subscription, *, reconcile: Waker) -> None:
        self._client = client
        self._wanted = wanted
        self._reconcile = reconcile

    async def once(self) -> list[str]:
        """Put right what is wrong and return what that was. Whatever was missed is looked for at once."""
        ours = [hook for hook in await self._client.webhooks() if hook.url == self._wanted.url]
        good = [hook for hook in ours if _is_good(hook)]
        done: list[str] = []
        if not good:
            await self._client.add_webhook(
                NewWebhook(
                    url=self._wanted.url,
                    object=_OBJECT,
                    user=self._wanted.user,
                    password=self._wanted.password,
                )
            )
            done.append("there was no working webhook: a new one was made")
        for hook in ours:
            if hook not in good[:1]:
                await self._client.delete_webhook(hook.id)
                done.append(f"webhook {hook.id} was superfluous or wrong: deleted")
        if good and not _was_delivered(good[0]):
            done.append(f"the last delivery was answered with {good[0].last_status}")
        for line in done:
            log.warning("webhook_supervised", what=line)
        if done:
            self._reconcile.wake()
        return done


def problems_of(hooks: list[Webhook], url: str) -> list[str]:
    """Say what is wrong with the webhooks of our address, in plain words."""
    ours = [hook for hook in hooks if hook.url == url]
    good = [hook for hook in ours if _is_good(hook)]
    if not good:
        return [f"no working webhook posts to {url}"]
    problems = [f"webhook {hook.id} is superfluous or wrong" for hook in ours if hook is not good[0]]
    if not _was_delivered(good[0]):
        problems.append(f"the last delivery was answered with {good[0].last_status}")
    return problems


def _is_good(hook: Webhook) -> bool:
    """Judge a webhook. One that was refused has old credentials, and those cannot be changed."""
    is_right = (hook.object, hook.action, hook.version) == (_OBJECT, "*", _VERSION)
    return is_right and hook.is_active and hook.last_status != _UNAUTHORIZED


def _was_delivered(hook: Webhook) -> bool:
    return hook.last_status is None or 200 <= hook.last_status < 300
