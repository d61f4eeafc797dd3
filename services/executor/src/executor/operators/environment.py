"""EnvironmentOperator: what concerns a whole environment: domains, ports, buckets, listed variables."""

import ipaddress
from collections.abc import Collection, Mapping, Sequence

from executor.operators.ports import Record, Zone
from executor.operators.world import World, all_of
from stagewright.contracts.work import Allocation, Deployable, Deployed, DnsRecord
from stagewright.errors import Retryable, Terminal
from stagewright.settings import ServerSettings

LEASABLE = range(3000, 10_000)
"""Ports that services may be given."""


class EnvironmentOperator:
    """Acts on one environment; every method may be repeated at will."""

    def __init__(self, environment: str, world: World) -> None:
        self._environment = environment
        self._world = world

    async def occupied_ports(self, deployed: Sequence[Deployed]) -> tuple[tuple[str, int], ...]:
        """(server, port) of what listens in the leasable range, without what `deployed` explains."""
        ours = {(one.allocation.server, one.allocation.port) for one in deployed}
        servers = self._world.settings.servers
        listening = await all_of([self._world.hosts.listening(server) for server in servers])
        found = {
            (server.name, port)
            for server, ports in zip(servers, listening, strict=True)
            for port in ports
            if port in LEASABLE
        }
        return tuple(sorted(found - ours))

    async def configure(self, domains: Sequence[str]) -> tuple[tuple[DnsRecord, ...], tuple[str, ...]]:
        """Point every domain at the proxy; (the records, the names of those that were written).

        Raises:
            Terminal: `dns.…`: refused, or the target does not fit.
        """
        kind = record_type(self._world.settings.proxy.dns_target)
        target = self._world.settings.proxy.dns_target.rstrip(".")
        wanted = [DnsRecord(name=name, type=kind, value=target) for name in domains]
        zones = await self._zones(domains)
        changed = await all_of(
            [
                self._write(zone, [record for record in wanted if zones[record.name] == zone])
                for zone in sorted(set(zones.values()), key=lambda zone: zone.name)
            ]
        )
        return tuple(wanted), tuple(sorted(name for names in changed for name in names))

    async def _zones(self, domains: Sequence[str]) -> dict[str, Zone]:
        """The zone of each domain; zones that are missing are made once, in production by a person."""
        known = await self._world.dns.zones()
        found = {domain: longest_zone(domain, known) for domain in domains}
        nowhere = [domain for domain, zone in found.items() if zone is None]
        if nowhere and self._world.settings.profile == "production":
            raise Terminal(
                "dns.zone_missing",
                ", ".join(nowhere),
                "no hosted zone of the account holds these domains.",
                "Create the zone and delegate it, then submit the order again.",
            )
        missing = sorted({registered(domain) for domain, zone in found.items() if zone is None})
        made = await all_of([self._world.dns.create_zone(name) for name in missing])
        by_name = {zone.name: zone for zone in made}
        return {domain: zone or by_name[registered(domain)] for domain, zone in found.items()}

    async def _write(self, zone: Zone, wanted: Sequence[DnsRecord]) -> Collection[str]:
        for record in wanted:
            if record.type == "CNAME" and record.name == zone.name:
                raise _apex(record)
        there = await all_of([self._world.dns.records(zone, record.name) for record in wanted])
        different = [
            (record, found)
            for record, found in zip(wanted, there, strict=True)
            if Record(record.name, record.type, record.value) not in found or _in_the_way(record, found)
        ]
        if different:
            await self._world.dns.change(
                zone,
                upsert=[Record(record.name, record.type, record.value) for record, _ in different],
                remove=[old for record, found in different for old in _in_the_way(record, found)],
            )
        return [record.name for record, _ in different]

    async def allocate(self, allocations: Sequence[Allocation]) -> tuple[str, ...]:
        """Make the allocations true; what was made, as `bucket:<name>`.

        Raises:
            Retryable: `port.occupied`, resource `<server>:<port>`: a process that is not the service's own
                listens there.
        """
        buckets = sorted({one.bucket for one in allocations if one.bucket})
        made, _ = await all_of(
            [self._make_buckets(buckets), self._check_ports([one for one in allocations if one.port])]
        )
        return made

    async def _make_buckets(self, buckets: Sequence[str]) -> tuple[str, ...]:
        changes = await all_of([self._make_bucket(bucket) for bucket in buckets])
        return tuple(change for change in changes if change)

    async def _make_bucket(self, bucket: str) -> str | None:
        storage = self._world.buckets
        if not await storage.exists(bucket):
            await storage.create(bucket)
        elif await storage.is_readable(bucket):
            return None
        await storage.make_readable(bucket)
        return f"bucket:{bucket}"

    async def _check_ports(self, allocations: Sequence[Allocation]) -> tuple[str, ...]:
        servers = {one.server: self._world.server(one.server) for one in allocations}
        listening = dict(
            zip(
                servers,
                await all_of([self._world.hosts.listening(server) for server in servers.values()]),
                strict=True,
            )
        )
        await all_of(
            [self._check_port(one, servers[one.server], listening[one.server]) for one in allocations]
        )
        return ()

    async def _check_port(
        self, allocation: Allocation, server: ServerSettings, listening: Mapping[int, int | None]
    ) -> None:
        port = allocation.port
        if port is None or port not in listening:
            return
        if await self._world.hosts.owns(server, self._environment, allocation.service, listening[port]):
            return
        raise Retryable(
            "port.occupied",
            f"{server.name}:{port}",
            "a process that is not the service's own listens on the port.",
            "The next attempt takes another port; stop the foreign process to have this one.",
        )

    async def listed_variables(self, services: Sequence[Deployable]) -> dict[str, int]:
        """The version of every variable that the services list.

        Raises:
            Terminal: `variable.missing`, naming all that are not in the vault.
        """
        names = sorted({name for service in services for name in service.variables})
        versions = await all_of(
            [self._world.vault.version(variable_path(self._environment, name)) for name in names]
        )
        found = dict(zip(names, versions, strict=True))
        missing = [name for name, version in found.items() if version is None]
        if missing:
            raise Terminal(
                "variable.missing",
                variable_path(self._environment, missing[0] if len(missing) == 1 else "*"),
                f"the vault has no {', '.join(missing)} for environment {self._environment}.",
                "Store each in the vault at that path, in the field `value`, or take it out of the order.",
            )
        return {name: version for name, version in found.items() if version is not None}


def variable_path(environment: str, name: str) -> str:
    """Where a listed variable is, under the mount."""
    return f"environments/{environment}/variables/{name}"


def record_type(target: str) -> str:
    """`A` for an IPv4 address, `CNAME` for a host name.

    Raises:
        Terminal: `dns.target_unsupported`: an IPv6 address.
    """
    try:
        address = ipaddress.ip_address(target)
    except ValueError:
        return "CNAME"
    if address.version == 4:
        return "A"
    raise Terminal(
        "dns.target_unsupported",
        "settings.proxy.dns_target",
        "it is an IPv6 address.",
        "Set it to an IPv4 address, or to a host name that has the addresses.",
    )


def longest_zone(domain: str, zones: Sequence[Zone]) -> Zone | None:
    """The most specific zone that a domain is in; of two with one name the one with the first id."""
    within = [zone for zone in zones if domain == zone.name or domain.endswith(f".{zone.name}")]
    return min(within, key=lambda zone: (-len(zone.name), zone.id), default=None)


def registered(domain: str) -> str:
    """The name of the zone that is made for a domain: its last two labels."""
    return ".".join(domain.split(".")[-2:])


def _in_the_way(wanted: DnsRecord, found: Sequence[Record]) -> list[Record]:
    """Records that cannot or must not stand beside the wanted one: CNAME beside any, and other addresses."""
    return [record for record in found if record.type != wanted.type]


def _apex(record: DnsRecord) -> Terminal:
    return Terminal(
        "dns.apex_cname",
        record.name,
        "the domain is its zone's own name, which cannot be a CNAME.",
        "Set proxy.dns_target to an IPv4 address, or use a name below the zone.",
    )
