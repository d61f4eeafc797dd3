"""Joins settings, adapters, operators and the worker: the one place that knows them all."""

from nats.aio.client import Client

from executor.adapters.ansible import AnsiblePlaybooks
from executor.adapters.aws import Route53, make_clients
from executor.adapters.aws_s3 import S3Buckets
from executor.adapters.caddy import CaddyProxy
from executor.adapters.git import GitSources
from executor.adapters.hosts import LocalHosts
from executor.adapters.vault import VaultSecrets
from executor.operators.world import World
from executor.stages import handlers
from executor.worker import Worker
from stagewright.settings import Settings


def build_world(settings: Settings) -> World:
    """Every adapter, from the settings. Connects nowhere yet."""
    clients = make_clients(settings.aws)
    vault = VaultSecrets(settings.vault)
    return World(
        settings=settings,
        dns=Route53(clients.route53),
        buckets=S3Buckets(clients.s3, settings.aws.region),
        vault=vault,
        proxy=CaddyProxy(settings.proxy, settings.aws),
        git=GitSources(settings.git),
        hosts=LocalHosts(),
        playbooks=AnsiblePlaybooks(settings, vault.short_lived_token),
    )


def build_worker(settings: Settings, client: Client) -> Worker:
    """The worker over a connected client."""
    return Worker(client, handlers(build_world(settings)), slots=settings.executor.slots)
