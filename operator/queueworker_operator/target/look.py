"""The pods of one Deployment as the API server has them now, where the watch stream lags behind."""

import logging

from queueworker_operator.kube import Client, api
from queueworker_operator.target.cache import ClusterCache, key_of
from queueworker_operator.target.objects import Deployment
from queueworker_operator.text import counted

logger = logging.getLogger(__name__)


async def look_afresh(client: Client, cache: ClusterCache, deployment: Deployment) -> None:
    """List the pods and bring the cache up to that; it may run ahead of the list meanwhile.

    What ended since the list was asked for stays gone. An older body than is known is ignored.
    """
    namespace = deployment.namespace
    place = cache.gone_count
    known = {pod.key: pod.uid for pod in cache.pods_of(namespace, deployment.pods_labels)}
    listed = set()
    async for body in api.list_pods(client, namespace, deployment.selector):
        listed.add(key_of(body))
        if body["metadata"]["uid"] not in {pod.uid for pod in cache.gone_since(place)}:
            cache.put_pod(body)
    for key in known.keys() - listed:
        cache.drop_pod(key, known[key])
    if untold := len(listed - known.keys()):
        found = counted(untold, "pod is there that the watch", "pods are there that the watch")
        logger.info("%s/%s: %s had not told of", namespace, deployment.name, found)
